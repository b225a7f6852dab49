//! Service bindings as they are typed: `NAME=TYPE,key=value,…`, `NAME=DIR` or `DIR`.

use std::ffi::OsStr;
use std::path::Path;

use cnb_platform::{Binding, BindingError, HostPath};

use crate::error::{CliError, Usage};
use crate::request::Surroundings;

const FORMS: &str = "write `--binding NAME=TYPE,key=value,…`, or `--binding NAME=DIR` for a folder with a file `type` \
                     and one for each key";

/// Reads the value of one `--binding`.
pub(crate) fn binding(typed: &str, around: &Surroundings<'_>) -> Result<Binding, CliError> {
    let Some((name, rest)) = typed.split_once('=') else {
        let dir = HostPath::new(around.cwd, typed);
        let Some(name) = dir.as_path().file_name().and_then(OsStr::to_str).filter(|_| !typed.is_empty())
        else {
            return Err(Usage::new(format!("invalid binding `{typed}`: it has no name")).hint(FORMS).into());
        };
        return folder(name, &dir, around);
    };
    // A type is a word, and never the name of a folder that is written as one.
    if rest.split(',').next().is_some_and(|first| first.contains('/') || first.starts_with('.')) {
        return folder(name, &HostPath::new(around.cwd, rest), around);
    }
    let mut parts = rest.split(',');
    let kind = parts.next().unwrap_or_default();
    let mut values = Vec::new();
    for part in parts {
        // Never shown: what is no `key=value` may be the rest of a value that has a comma in it.
        let (key, value) = part.split_once('=').ok_or_else(|| {
            Usage::new(format!("invalid binding `{name}`: what follows a comma is not `key=value`")).hint(
                "a value with a comma in it comes from a file, `key=@FILE`, or a variable, `key=$VARIABLE`",
            )
        })?;
        if key == "type" || values.iter().any(|(k, _)| k == key) {
            let message = format!("invalid binding `{name}`: `{key}` is given twice");
            return Err(Usage::new(message).hint(FORMS).into());
        }
        values.push((key.to_owned(), value_of(name, key, value, around)?));
    }
    Binding::new(name, kind, values).map_err(refused)
}

fn folder(name: &str, dir: &HostPath, around: &Surroundings<'_>) -> Result<Binding, CliError> {
    (around.read_binding)(name, dir).map_err(refused)
}

/// Returns a value as it is meant: `@FILE` is what is in the file, `$VARIABLE` what the variable has here; a second
/// `@` or `$` in front takes the meaning away.
fn value_of(name: &str, key: &str, typed: &str, around: &Surroundings<'_>) -> Result<Vec<u8>, CliError> {
    if let Some(literal) = typed.strip_prefix("@@").map(|rest| format!("@{rest}")) {
        return Ok(literal.into_bytes());
    }
    if let Some(literal) = typed.strip_prefix("$$").map(|rest| format!("${rest}")) {
        return Ok(literal.into_bytes());
    }
    if let Some(file) = typed.strip_prefix('@') {
        return (around.read)(&HostPath::new(around.cwd, Path::new(file))).map_err(|source| {
            CliError::BindingFile { binding: name.to_owned(), key: key.to_owned(), source }
        });
    }
    let Some(variable) = typed.strip_prefix('$') else { return Ok(typed.as_bytes().to_vec()) };
    let variable = variable.strip_prefix('{').and_then(|v| v.strip_suffix('}')).unwrap_or(variable);
    let value = around.env.get(OsStr::new(variable)).ok_or_else(|| {
        Usage::new(format!("invalid binding `{name}`: there is no variable `{variable}` for `{key}`"))
            .hint("set it, or write `$$` for a value that begins with `$`")
    })?;
    Ok(value.as_encoded_bytes().to_vec())
}

fn refused(error: BindingError) -> CliError {
    match error {
        BindingError::Read { .. } => CliError::Binding(error),
        _ => Usage::new(error.to_string()).hint(FORMS).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;

    use super::*;

    fn typed(text: &str) -> Result<Binding, CliError> {
        let env = BTreeMap::from([("PASSWORD".into(), "from here".into())]);
        let read = |path: &HostPath| match path.as_path().to_str() {
            Some("/here/secret") => Ok(b"from, a file".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        };
        let read_binding = |name: &str, dir: &HostPath| {
            Binding::new(name, "folder", [("dir".to_owned(), dir.to_string().into_bytes())])
        };
        let around = Surroundings {
            cwd: Path::new("/here"),
            env: &env,
            now: 0,
            terminal: false,
            read: &read,
            read_binding: &read_binding,
        };
        binding(text, &around)
    }

    #[track_caller]
    fn check(text: &str, name: &str, kind: &str, values: &[(&str, &str)]) {
        let values = values.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()));
        assert_eq!(typed(text).unwrap(), Binding::new(name, kind, values).unwrap(), "{text}");
    }

    #[test]
    fn values_are_literal_or_from_files_or_variables() {
        check("db=postgresql", "db", "postgresql", &[]);
        check(
            "db=t,a=1=2,b=@secret,c=$PASSWORD,d=${PASSWORD}",
            "db",
            "t",
            &[("a", "1=2"), ("b", "from, a file"), ("c", "from here"), ("d", "from here")],
        );
        check("db=t,a=@@x,b=$$x,c=", "db", "t", &[("a", "@x"), ("b", "$x"), ("c", "")]);
    }

    #[test]
    fn a_folder_has_the_name_that_is_given_or_its_own() {
        check("db=./x", "db", "folder", &[("dir", "/here/./x")]);
        check("db=/x,y", "db", "folder", &[("dir", "/x,y")]);
        check("some/db", "db", "folder", &[("dir", "/here/some/db")]);
    }

    #[test]
    fn mistakes_are_named_and_no_value_is_shown() {
        for (text, message) in [
            ("", "invalid binding ``: it has no name"),
            ("db=", "the binding `db` has no usable type"),
            (
                "../x=t",
                "`../x` cannot be the name of a binding: letters, digits, `-`, `_` and `.` can, and `.` not in front",
            ),
            ("db=t,a=hunter2,hunter3", "invalid binding `db`: what follows a comma is not `key=value`"),
            ("db=t,a=1,a=2", "invalid binding `db`: `a` is given twice"),
            ("db=t,a=$NOWHERE", "invalid binding `db`: there is no variable `NOWHERE` for `a`"),
            ("db=t,a=@nowhere", "failed to read the file for `a` of the binding `db`"),
        ] {
            assert_eq!(typed(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
