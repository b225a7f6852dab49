//! Environment variables on the command line and in files, as engines read them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use crate::error::Usage;

/// What the program's own environment is kept in.
pub(crate) type Environment = BTreeMap<OsString, OsString>;

/// Adds one `K=V` as typed after `--env`; `K` alone takes the value of `own`, and is nothing where there is none.
pub(crate) fn add_typed(
    vars: &mut BTreeMap<String, OsString>,
    typed: &OsStr,
    own: &Environment,
) -> Result<(), Usage> {
    add(vars, typed.as_bytes(), own).map_err(|problem| {
        Usage::new(format!("invalid environment variable `{}`: {problem}", typed.to_string_lossy()))
            .hint("write `--env NAME=VALUE`, or `--env NAME` to take the value that it has here")
    })
}

/// Adds the variables of a file.
///
/// A line is `K=V`, where the value is taken as it is, or `K` alone; empty lines and those that start with `#` are
/// nothing, and so is white space before a name.
pub(crate) fn add_file(
    vars: &mut BTreeMap<String, OsString>,
    path: &str,
    text: &[u8],
    own: &Environment,
) -> Result<(), Usage> {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    for (number, line) in text.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        add(vars, line, own).map_err(|problem| {
            Usage::new(format!("invalid environment file `{path}`, line {}: {problem}", number + 1))
                .hint("each line is `NAME=VALUE`, or `NAME` to take the value that it has here; `#` starts a comment")
        })?;
    }
    Ok(())
}

fn add(vars: &mut BTreeMap<String, OsString>, text: &[u8], own: &Environment) -> Result<(), &'static str> {
    let equals = text.iter().position(|b| *b == b'=');
    let name =
        std::str::from_utf8(&text[..equals.unwrap_or(text.len())]).map_err(|_| "the name is not UTF-8")?;
    if name.is_empty() {
        return Err("the name is missing");
    }
    if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("the name contains white space");
    }
    if text.contains(&0) {
        return Err("it contains a zero byte");
    }
    match equals {
        Some(at) => {
            vars.insert(name.to_owned(), OsString::from_vec(text[at + 1..].to_vec()));
        }
        None => {
            if let Some(value) = own.get(OsStr::new(name)) {
                vars.insert(name.to_owned(), value.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Environment {
        BTreeMap::from([("HERE".into(), "from here".into())])
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let mut vars = BTreeMap::new();
        add_file(&mut vars, "vars.env", text.as_bytes(), &own()).unwrap();
        let expected = expected.iter().map(|(k, v)| ((*k).to_owned(), OsString::from(v))).collect();
        assert_eq!(vars, expected, "{text:?}");
    }

    #[track_caller]
    fn refuse(text: &[u8], message: &str) {
        let problem = add_file(&mut BTreeMap::new(), "vars.env", text, &own()).unwrap_err();
        assert_eq!(problem.to_string(), message);
    }

    #[test]
    fn values_are_taken_as_they_are() {
        check("A=1\nB= two = 2 #no comment \n", &[("A", "1"), ("B", " two = 2 #no comment ")]);
        check("Q=\"quoted\"\r\nE=\r\n", &[("Q", "\"quoted\""), ("E", "")]);
    }

    #[test]
    fn comments_and_empty_lines_are_nothing() {
        check("\u{feff}# first\n\n  \t\n   # second\n  A=1", &[("A", "1")]);
    }

    #[test]
    fn a_name_alone_takes_the_value_that_it_has_here() {
        check("HERE\nNOT_HERE\n", &[("HERE", "from here")]);
    }

    #[test]
    fn the_last_one_counts() {
        check("A=1\nA=2\n", &[("A", "2")]);
    }

    #[test]
    fn mistakes_name_file_and_line() {
        refuse(b"A=1\n=2\n", "invalid environment file `vars.env`, line 2: the name is missing");
        refuse(b"\nA B=1\n", "invalid environment file `vars.env`, line 2: the name contains white space");
        refuse(b"\xff=1\n", "invalid environment file `vars.env`, line 1: the name is not UTF-8");
        refuse(b"A=\0\n", "invalid environment file `vars.env`, line 1: it contains a zero byte");
    }

    #[test]
    fn a_value_need_not_be_text() {
        let mut vars = BTreeMap::new();
        add_typed(&mut vars, OsStr::from_bytes(b"A=\xff"), &own()).unwrap();
        assert_eq!(vars["A"].as_bytes(), b"\xff");
    }
}
