//! How a registry asks who we are: the header `WWW-Authenticate` (RFC 9110, section 11.6.1).

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Nothing, or nothing that we know.
    None,
    /// User and password.
    Basic,
    /// A token that the server at `realm` gives.
    Bearer {
        realm: String,
        service: Option<String>,
        /// What the refused request would have needed.
        scope: Option<String>,
    },
}

impl Challenge {
    /// Returns the first challenge in the headers that can be met, as the Go programs do.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|v| v.to_str().ok());
        let known = values.flat_map(parse).find_map(|(scheme, mut parameters)| match scheme.as_str() {
            "basic" => Some(Self::Basic),
            "bearer" => Some(Self::Bearer {
                realm: parameters.remove("realm")?,
                service: parameters.remove("service"),
                scope: parameters.remove("scope").filter(|s| !s.is_empty()),
            }),
            _ => None,
        });
        known.unwrap_or(Self::None)
    }
}

/// Reads `scheme key=value, key="quoted", scheme …`; schemes and keys come out in lower case.
fn parse(text: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if word.is_empty() && behind.is_empty() {
            return found;
        }
        let behind = behind.trim_start_matches([' ', '\t']);
        let Some(value) = behind.strip_prefix('=') else {
            found.push((word.to_ascii_lowercase(), BTreeMap::new()));
            rest = behind;
            continue;
        };
        let (value, behind) = take_value(value.trim_start_matches([' ', '\t']));
        if let Some((_, parameters)) = found.last_mut() {
            parameters.insert(word.to_ascii_lowercase(), value);
        }
        rest = behind;
    }
}

/// Takes a token or a quoted string off the front.
fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(headers: &[&str], expected: &Challenge) {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(WWW_AUTHENTICATE, header.parse().unwrap());
        }
        assert_eq!(Challenge::of(&map), *expected);
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope) }
    }

    #[test]
    fn the_first_challenge_that_can_be_met_counts() {
        check(&[], &Challenge::None);
        check(&["Negotiate"], &Challenge::None);
        check(&["Negotiate YII=, Basic realm=\"x, y\""], &Challenge::Basic);
        check(&["Negotiate", "basic"], &Challenge::Basic);
        let hub = r#"Bearer realm="https://a.io/token",service="r.io",scope="repository:a/b:pull,push""#;
        check(&[hub], &bearer("https://a.io/token", Some("r.io"), Some("repository:a/b:pull,push")));
        check(&[r#"BEARER Realm=https://a , Scope="""#], &bearer("https://a", None, None));
        check(&[r#"Bearer realm="a\"b", Basic realm="c""#], &bearer("a\"b", None, None));
        check(&[r#"Bearer service="x", Basic realm="c""#], &Challenge::Basic);
    }

    #[test]
    fn nonsense_is_survived() {
        for text in ["=", ",,,", "\"", "a=b", "Bearer realm", "= = =", "Bearer =x"] {
            check(&[text], &Challenge::None);
        }
        check(&["Bearer realm=\""], &bearer("", None, None));
    }
}
