//! How files of an env directory change an environment (requirements C9, C18 to C22).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// An environment; values are any bytes but NUL.
pub type Env = BTreeMap<OsString, OsString>;

/// What a file in an env directory does to the variable it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Behind the current value.
    Append,
    /// In front of the current value.
    Prepend,
    /// Only when there is no value, or an empty one.
    Default,
    /// Always.
    Override,
    /// In front of the current value with `:` between: the name ended with a dot (requirement C19).
    PrependPath,
}

/// What the name of a file in an env directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    /// It holds a value for this variable.
    Value(OsString, Action),
    /// It holds the delimiter for this variable.
    Delimiter(OsString),
    /// Its suffix means nothing.
    Ignored,
}

/// Splits the name of a file at its first dot; `bare` is the action of a name without a dot.
pub fn file_name(name: &OsStr, bare: Action) -> FileName {
    let bytes = name.as_bytes();
    let Some(dot) = bytes.iter().position(|b| *b == b'.') else {
        return FileName::Value(name.to_os_string(), bare);
    };
    let variable = OsString::from_vec(bytes[..dot].to_vec());
    match &bytes[dot + 1..] {
        b"append" => FileName::Value(variable, Action::Append),
        b"prepend" => FileName::Value(variable, Action::Prepend),
        b"default" => FileName::Value(variable, Action::Default),
        b"override" => FileName::Value(variable, Action::Override),
        b"" => FileName::Value(variable, Action::PrependPath),
        b"delim" => FileName::Delimiter(variable),
        _ => FileName::Ignored,
    }
}

/// Changes one variable.
pub fn modify(env: &mut Env, name: &OsStr, action: Action, value: &OsStr, delimiter: &OsStr) {
    let current = env.get(name).map(OsString::as_os_str).filter(|c| !c.is_empty());
    let join = |first: &OsStr, between: &OsStr, last: &OsStr| {
        let mut joined = first.to_os_string();
        joined.push(between);
        joined.push(last);
        joined
    };
    let new = match (action, current) {
        (Action::Default, Some(_)) => return,
        (Action::Append, Some(current)) => join(current, delimiter, value),
        (Action::Prepend, Some(current)) => join(value, delimiter, current),
        (Action::PrependPath, Some(current)) => join(value, OsStr::new(":"), current),
        _ => value.to_os_string(),
    };
    env.insert(name.to_os_string(), new);
}

/// Directories of a layer and the path variables they are put in front of while building (requirement C15).
pub const BUILD_PATHS: &[(&str, &[&str])] = &[
    ("bin", &["PATH"]),
    ("lib", &["LD_LIBRARY_PATH", "LIBRARY_PATH"]),
    ("include", &["CPATH"]),
    ("pkgconfig", &["PKG_CONFIG_PATH"]),
];

/// Directories of a layer and the path variables they are put in front of at launch (requirement C16).
pub const LAUNCH_PATHS: &[(&str, &[&str])] = &[("bin", &["PATH"]), ("lib", &["LD_LIBRARY_PATH"])];

/// The variables in front of whose value a user's value is put, rather than replacing it (requirement C9).
pub const USER_PATH_VARIABLES: &[&str] =
    &["PATH", "LD_LIBRARY_PATH", "LIBRARY_PATH", "CPATH", "PKG_CONFIG_PATH"];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, current: Option<&str>, expected: Option<&str>) {
        let mut env = Env::new();
        if let Some(current) = current {
            env.insert("A".into(), current.into());
        }
        if let FileName::Value(name, action) = file_name(OsStr::new(file), Action::Override) {
            modify(&mut env, &name, action, OsStr::new("new"), OsStr::new("-"));
        }
        assert_eq!(env.get(OsStr::new("A")).and_then(|v| v.to_str()), expected, "{file}");
    }

    #[test]
    fn each_suffix_has_its_action() {
        check("A", Some("old"), Some("new"));
        check("A.override", Some("old"), Some("new"));
        check("A.append", Some("old"), Some("old-new"));
        check("A.prepend", Some("old"), Some("new-old"));
        check("A.default", Some("old"), Some("old"));
        check("A.", Some("old"), Some("new:old"));
    }

    #[test]
    fn an_empty_value_counts_as_none() {
        for file in ["A.append", "A.prepend", "A.default", "A."] {
            check(file, Some(""), Some("new"));
            check(file, None, Some("new"));
        }
    }

    #[test]
    fn unknown_suffixes_are_ignored() {
        check("A.b.append", Some("old"), Some("old"));
        check("A.delim", Some("old"), Some("old"));
        assert_eq!(file_name(OsStr::new("A.delim"), Action::Default), FileName::Delimiter("A".into()));
    }
}
