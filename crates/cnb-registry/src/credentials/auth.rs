//! What a registry is shown: credentials, and secrets that cannot be printed by mistake.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A password, token or header: shown by nothing but [`Secret::expose`].
///
/// ```
/// let secret = cnb_registry::credentials::Secret::new("hunter2");
/// assert_eq!(format!("{secret} {secret:?}"), "*** ***");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, to be sent to whom it is meant for and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How we introduce ourselves to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    Anonymous,
    /// A user and a password, for the registry itself or for its token server.
    Basic {
        /// The user; may be empty.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An `OAuth2` refresh token, to be exchanged by `POST` at the token server (`grant_type=refresh_token`).
    ///
    /// No user belongs to it: neither docker nor the Go lifecycle sends one with the exchange.
    IdentityToken(Secret),
    /// A token that the registry itself takes, as it is.
    Bearer(Secret),
    /// A whole `Authorization` header (`Basic …`), for the registry itself or for its token server.
    Header(Secret),
}

impl Auth {
    /// Returns the value of the `Authorization` header, to be shown to the registry or its token server; `None`
    /// where there is none, as for an identity token, which must be exchanged first.
    pub fn header(&self) -> Option<Secret> {
        match self {
            Self::Anonymous | Self::IdentityToken(_) => None,
            Self::Basic { user, password } => {
                Some(Secret(format!("Basic {}", encode(user, password.expose()).expose())))
            }
            Self::Bearer(token) => Some(Secret(format!("Bearer {}", token.expose()))),
            Self::Header(header) => Some(header.clone()),
        }
    }
}

/// Returns `user:password` as the `auth` field of configuration files and Basic authentication have it.
pub(super) fn encode(user: &str, password: &str) -> Secret {
    Secret(STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_header() {
        let basic = Auth::Basic { user: "me".into(), password: Secret::new("pass") };
        let header = |auth: &Auth| auth.header().map(|h| h.expose().to_owned());
        assert_eq!(header(&basic).as_deref(), Some("Basic bWU6cGFzcw=="));
        assert_eq!(header(&Auth::Bearer(Secret::new("t"))).as_deref(), Some("Bearer t"));
        assert_eq!(header(&Auth::Header(Secret::new("Basic x"))).as_deref(), Some("Basic x"));
        assert_eq!(header(&Auth::IdentityToken(Secret::new("t"))), None);
        assert_eq!(header(&Auth::Anonymous), None);
    }

    #[test]
    fn nothing_secret_is_shown() {
        let shown = format!("{:?}", Auth::Basic { user: "me".into(), password: Secret::new("hunter2") });
        assert_eq!(shown, "Basic { user: \"me\", password: *** }");
    }
}
