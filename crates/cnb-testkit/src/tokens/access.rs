//! Scopes of registry tokens.

use std::fmt;

/// What may be done with one thing; as text `repository:some/app:pull,push`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The kind of thing: `repository` or `registry`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What may be done: `pull`, `push`, `delete`.
    pub actions: Vec<String>,
}

impl Access {
    /// Returns access to a repository.
    pub fn repository(name: &str, actions: &[&str]) -> Self {
        let actions = actions.iter().map(|a| (*a).to_owned()).collect();
        Self { kind: "repository".to_owned(), name: name.to_owned(), actions }
    }

    /// Reads a scope; `None` where it is none.
    pub fn parse(scope: &str) -> Option<Self> {
        let (kind, rest) = scope.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        let actions = actions.split(',').map(str::to_owned).collect();
        Some(Self { kind: kind.to_owned(), name: name.to_owned(), actions })
    }

    /// Returns whether whoever has this may do what `wanted` says.
    pub(crate) fn covers(&self, wanted: &Self) -> bool {
        self.kind == wanted.kind
            && self.name == wanted.name
            && wanted.actions.iter().all(|action| self.actions.contains(action))
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_read_and_written() {
        let access = Access::parse("repository:localhost:5000/a/b:pull,push").unwrap();
        assert_eq!(access, Access::repository("localhost:5000/a/b", &["pull", "push"]));
        assert_eq!(access.to_string(), "repository:localhost:5000/a/b:pull,push");
        assert!(access.covers(&Access::repository("localhost:5000/a/b", &["push"])));
        assert!(!access.covers(&Access::repository("localhost:5000/a/b", &["delete"])));
        assert!(!access.covers(&Access::repository("other", &["pull"])));
        assert_eq!(Access::parse("nonsense"), None);
    }
}
