//! Service bindings: credentials and settings that the platform hands to a build (Service Binding specification 1.1).
//!
//! Each is a folder below `$SERVICE_BINDING_ROOT`, or below `<platform>/bindings` where that is not set, with a file
//! `type` and one file for each key. What is in them is secret: a buildpack uses it in place, and copies it nowhere
//! that outlives the build.

use std::path::PathBuf;

use cnb_spec::env::Env;

use crate::context::var;
use crate::{BuildContext, Failure};

/// The variable that names the folder of all bindings.
pub const ROOT: &str = "SERVICE_BINDING_ROOT";

/// One binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The name of its folder.
    pub name: String,
    /// What kind of thing it is for, such as `npmrc`; compared without regard to case.
    pub kind: String,
    /// Who provides it, if it says.
    pub provider: Option<String>,
    /// The folder with its files.
    pub dir: PathBuf,
}

impl Binding {
    /// Returns the file of a key, if there is one.
    pub fn file(&self, key: &str) -> Option<PathBuf> {
        Some(self.dir.join(key)).filter(|f| f.is_file())
    }

    /// Reads the value of a key, if there is one, without the white space around it.
    pub fn value(&self, key: &str) -> Result<Option<String>, Failure> {
        self.file(key).map(|f| Ok(fs_err::read_to_string(f)?.trim().to_owned())).transpose()
    }
}

impl BuildContext {
    /// Lists the bindings of a type, in the order of their names.
    pub fn bindings(&self, kind: &str) -> Result<Vec<Binding>, Failure> {
        let root = var(&self.env, ROOT).map_or_else(|| self.platform_dir.join("bindings"), PathBuf::from);
        Ok(all(&root)?.into_iter().filter(|b| b.kind.eq_ignore_ascii_case(kind)).collect())
    }

    /// Returns the binding of a type; that there are several is an error that names them.
    pub fn binding(&self, kind: &str) -> Result<Option<Binding>, Failure> {
        let mut found = self.bindings(kind)?;
        if found.len() > 1 {
            let names: Vec<_> = found.iter().map(|b| format!("`{}`", b.name)).collect();
            return Err(Failure::new(format!("there are several bindings of type `{kind}`"))
                .because(names.join(", "))
                .next("give one of them"));
        }
        Ok(found.pop())
    }

    /// Returns the environment without what tells where bindings are, for commands that have no business with them.
    pub fn env_without_bindings(&self) -> Env {
        let mut env = self.env.clone();
        env.remove(std::ffi::OsStr::new(ROOT));
        env
    }
}

fn all(root: &std::path::Path) -> Result<Vec<Binding>, Failure> {
    let mut found = Vec::new();
    if !root.is_dir() {
        return Ok(found);
    }
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        let dir = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // Kubernetes keeps folders such as `..data` beside what it shows.
        if !dir.is_dir() || name.starts_with('.') {
            continue;
        }
        let mut binding = Binding { name, kind: String::new(), provider: None, dir };
        let kind = binding.value("type")?.filter(|k| !k.is_empty());
        binding.kind = kind.ok_or_else(|| {
            Failure::new(format!("the binding `{}` has no type", binding.name))
                .next(format!("write one into the file `type` in `{}`", binding.dir.display()))
        })?;
        binding.provider = binding.value("provider")?;
        found.push(binding);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn bindings_are_read_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(all(&dir.path().join("missing")).unwrap(), []);
        for (name, kind) in [("b", "npmrc\n"), ("a", "maven"), ("..data", "x")] {
            fs_err::create_dir(dir.path().join(name)).unwrap();
            fs_err::write(dir.path().join(name).join("type"), kind).unwrap();
        }
        fs_err::write(dir.path().join("a/provider"), "us").unwrap();
        fs_err::write(dir.path().join("b/.npmrc"), " secret\n").unwrap();
        let found = all(dir.path()).unwrap();
        assert_eq!(
            found.iter().map(|b| (&*b.name, &*b.kind)).collect::<Vec<_>>(),
            [("a", "maven"), ("b", "npmrc")]
        );
        assert_eq!(found[0].provider.as_deref(), Some("us"));
        assert_eq!(found[1].value(".npmrc").unwrap().as_deref(), Some("secret"));
        assert_eq!(found[1].value("other").unwrap(), None);
    }

    #[test]
    fn a_binding_without_a_type_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("db")).unwrap();
        assert!(all(dir.path()).unwrap_err().to_string().contains("the binding `db` has no type"));
    }
}
