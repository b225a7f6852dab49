//! Addresses without what opens them.

/// Returns an address without user name, password, query and fragment.
///
/// The user of an `ssh` address is part of it (`git@`) and stays; its password goes.
pub(super) fn without_login(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((login, host)) if scheme.is_some_and(|s| s.contains("ssh")) && !login.contains(':') => {
            return format!("{}://{login}@{host}{path}", scheme.unwrap_or_default());
        }
        Some((_, host)) => host,
        None => authority,
    };
    match scheme {
        Some(scheme) => format!("{scheme}://{authority}{path}"),
        None => format!("{authority}{path}"),
    }
}

/// Returns whether a text is an address that a build can reach, and no file of the host.
pub(super) fn is_remote(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["http://", "https://", "sparse+http://", "sparse+https://", "ssh://", "git://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        assert_eq!(without_login(url), expected);
    }

    #[test]
    fn logins_and_queries_are_cut_from_addresses() {
        check("https://user:pass@registry.example/npm/", "https://registry.example/npm/");
        check("https://token@registry.example", "https://registry.example");
        check("https://a:p@ss@registry.example:8443/x@y", "https://registry.example:8443/x@y");
        check("sparse+https://u:p@registry.example/", "sparse+https://registry.example/");
        check("https://registry.example/simple?token=1#x", "https://registry.example/simple");
        check("user:pass@proxy.example:3128", "proxy.example:3128");
        check("https://[::1]:80/a", "https://[::1]:80/a");
    }

    #[test]
    fn the_user_of_ssh_is_part_of_the_address() {
        check("ssh://git@registry.example/index", "ssh://git@registry.example/index");
        check("ssh://git:secret@registry.example/index", "ssh://registry.example/index");
    }
}
