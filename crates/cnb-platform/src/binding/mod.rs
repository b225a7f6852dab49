//! Service bindings: credentials and settings for a build or a run (Service Binding specification 1.1).
//!
//! What is in one is secret. It lives in memory here and on a tmpfs in the sandbox; [`secrets`] masks it in output and
//! looks for it in what a build made.

mod ca;
mod mask;
pub(crate) mod secrets;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use cnb_fs::{FsError, GuestPath, HostPath, Owner};
use cnb_sandbox::Mount;

pub(crate) use ca::{certificates, trust_in_run};
pub(crate) use mask::masked;

/// The variable that tells where the bindings are.
pub(crate) const ROOT: &str = "SERVICE_BINDING_ROOT";

/// Where they are in a sandbox, while building and while running.
pub(crate) const GUEST: &str = "/platform/bindings";

/// The most bytes of one value, as Kubernetes has it for a whole secret: 1 MiB.
const LIMIT: u64 = 1 << 20;

/// The most bytes of all bindings: they lie in memory.
const TOTAL_LIMIT: u64 = 32 << 20;

/// One binding: a name, a type, and values by key.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    name: String,
    /// The type among them.
    values: BTreeMap<String, Vec<u8>>,
}

/// Why something is no binding.
#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    /// The name cannot be that of a folder.
    #[error(
        "`{0}` cannot be the name of a binding: letters, digits, `-`, `_` and `.` can, and `.` not in front"
    )]
    Name(String),
    /// A key cannot be the name of a file.
    #[error("`{key}` cannot be a key of the binding `{binding}`: letters, digits, `-`, `_` and `.` can")]
    Key {
        /// The name of the binding.
        binding: String,
        /// The key.
        key: String,
    },
    /// There is no type, or it is no word.
    #[error("the binding `{0}` has no usable type")]
    Type(String),
    /// A folder or a file in it cannot be read.
    #[error("failed to read the binding `{binding}`")]
    Read {
        /// The name of the binding.
        binding: String,
        /// Why.
        #[source]
        source: FsError,
    },
    /// A value is too large.
    #[error("`{key}` of the binding `{binding}` has more than 1 MiB")]
    TooLarge {
        /// The name of the binding.
        binding: String,
        /// The key.
        key: String,
    },
}

impl Binding {
    /// Makes a binding of values that are known.
    ///
    /// # Errors
    /// [`BindingError`] where the name or a key cannot be that of a file, or the type is no word.
    pub fn new(
        name: &str,
        kind: &str,
        values: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<Self, BindingError> {
        let mut values: BTreeMap<_, _> = values.into_iter().collect();
        values.insert("type".to_owned(), kind.as_bytes().to_vec());
        Self::checked(name, values)
    }

    /// Reads a binding as the specification has it on disk: a folder with a file `type` and one for each key.
    ///
    /// Files and folders whose names begin with `..`, such as Kubernetes keeps there, are no keys.
    ///
    /// # Errors
    /// Those of [`new`](Self::new), and a folder or file that cannot be read.
    pub fn read(name: &str, dir: &HostPath) -> Result<Self, BindingError> {
        let failed = |source| BindingError::Read { binding: name.to_owned(), source };
        let list = |e| failed(FsError::on("list", dir.as_path())(e));
        let mut values = BTreeMap::new();
        for entry in fs::read_dir(dir.as_path()).map_err(list)? {
            let entry = entry.map_err(list)?;
            let path = entry.path();
            let key = entry.file_name().to_string_lossy().into_owned();
            let metadata = fs::metadata(&path).map_err(|e| failed(FsError::on("look at", &path)(e)))?;
            if key.starts_with("..") || !metadata.is_file() {
                continue;
            }
            if metadata.len() > LIMIT {
                return Err(BindingError::TooLarge { binding: name.to_owned(), key });
            }
            values.insert(key, fs_err::read(&path).map_err(|e| failed(FsError::on("read", &path)(e)))?);
        }
        Self::checked(name, values)
    }

    fn checked(name: &str, values: BTreeMap<String, Vec<u8>>) -> Result<Self, BindingError> {
        let word = |text: &str| {
            !text.is_empty()
                && text.chars().all(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c))
        };
        if !word(name) || name.starts_with('.') || name.len() > 253 {
            return Err(BindingError::Name(name.to_owned()));
        }
        for (key, value) in &values {
            if !word(key) || key.starts_with("..") || key == "." || key.len() > 253 {
                return Err(BindingError::Key { binding: name.to_owned(), key: key.clone() });
            }
            if value.len() as u64 > LIMIT {
                return Err(BindingError::TooLarge { binding: name.to_owned(), key: key.clone() });
            }
        }
        let binding = Self { name: name.to_owned(), values };
        if !word(binding.kind()) {
            return Err(BindingError::Type(name.to_owned()));
        }
        Ok(binding)
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its type, such as `postgresql`.
    pub fn kind(&self) -> &str {
        self.values.get("type").and_then(|t| std::str::from_utf8(t).ok()).unwrap_or_default().trim()
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind().eq_ignore_ascii_case(kind)
    }
}

impl fmt::Debug for Binding {
    /// Names the keys, and keeps the values to itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.values.keys().collect();
        f.debug_struct("Binding").field("name", &self.name).field("keys", &keys).finish_non_exhaustive()
    }
}

/// Says what is wrong with bindings that are each right; the text completes a sentence.
pub(crate) fn conflict(bindings: &[Binding]) -> Option<String> {
    for (at, binding) in bindings.iter().enumerate() {
        if bindings[..at].iter().any(|other| other.name == binding.name) {
            return Some(format!("there are two bindings with the name `{}`", binding.name));
        }
    }
    let bytes: u64 = bindings.iter().flat_map(|b| b.values.values()).map(|v| v.len() as u64).sum();
    (bytes > TOTAL_LIMIT).then(|| "the bindings together have more than 32 MiB".to_owned())
}

/// Returns the mounts that show bindings at [`GUEST`]: a tmpfs of their own, which nobody can change.
pub(crate) fn mounts(bindings: &[Binding]) -> Vec<Mount> {
    if bindings.is_empty() {
        return Vec::new();
    }
    let root = GuestPath::new(GUEST);
    let mut mounts = vec![Mount::Tmpfs { guest: root.clone(), size: TOTAL_LIMIT * 2, mode: 0o755 }];
    for binding in bindings {
        let dir = root.join(&binding.name);
        mounts.push(Mount::Dir { guest: dir.clone(), mode: 0o755 });
        for (key, contents) in &binding.values {
            mounts.push(Mount::File { guest: dir.join(key), contents: contents.clone(), mode: 0o444 });
        }
    }
    mounts.push(Mount::ReadOnly { guest: root });
    mounts
}

/// Writes bindings for a build without a sandbox to a new folder that only the build user can enter.
pub(crate) fn write(bindings: &[Binding], root: &Path, owner: Option<Owner>) -> Result<(), FsError> {
    let make = |dir: &Path| {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new().mode(0o700).create(dir).map_err(FsError::on("create the directory", dir))
    };
    let give = |path: &Path| owner.map_or(Ok(()), |o| crate::workdir::give(&HostPath::absolute(path), o));
    // It may be there as the empty mount point of a sandbox that could not be had.
    match fs::remove_dir(root) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(FsError::on("replace the directory", root)(e));
        }
        _ => make(root)?,
    }
    for binding in bindings {
        let dir = root.join(&binding.name);
        make(&dir)?;
        for (key, contents) in &binding.values {
            let path = dir.join(key);
            // Nobody else can enter the folder, so that the mode of a moment does not matter.
            fs_err::write(&path, contents).map_err(FsError::on("write", &path))?;
            let mode = fs::Permissions::from_mode(0o400);
            fs::set_permissions(&path, mode).map_err(FsError::on("change the mode of", &path))?;
            give(&path)?;
        }
        give(&dir)?;
    }
    give(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(name: &str, kind: &str, values: &[(&str, &str)]) -> Result<Binding, BindingError> {
        Binding::new(name, kind, values.iter().map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec())))
    }

    #[test]
    fn what_cannot_be_a_folder_or_file_is_named() {
        let message = |result: Result<Binding, BindingError>| result.unwrap_err().to_string();
        for name in ["", "..", "a/b", ".hidden", "a b"] {
            assert!(
                message(binding(name, "t", &[])).contains(&format!("`{name}` cannot be the name")),
                "{name}"
            );
        }
        assert!(
            message(binding("db", "t", &[("../x", "")]))
                .contains("`../x` cannot be a key of the binding `db`")
        );
        assert_eq!(message(binding("db", "", &[])), "the binding `db` has no usable type");
        assert_eq!(message(binding("db", "a/b", &[])), "the binding `db` has no usable type");
        binding("npm", "npmrc", &[(".npmrc", "x")]).unwrap();
    }

    #[test]
    fn a_folder_is_read_as_kubernetes_writes_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..data")).unwrap();
        fs_err::write(dir.path().join("..data/type"), "postgresql\n").unwrap();
        std::os::unix::fs::symlink("..data/type", dir.path().join("type")).unwrap();
        let read = Binding::read("db", &HostPath::absolute(dir.path())).unwrap();
        assert_eq!((read.kind(), read.values.len()), ("postgresql", 1));
        let error = Binding::read("db", &HostPath::absolute(dir.path().join("missing"))).unwrap_err();
        assert_eq!(error.to_string(), "failed to read the binding `db`");
    }

    #[test]
    fn values_are_not_part_of_debug_output() {
        let text = format!("{:?}", binding("db", "t", &[("password", "hunter22")]).unwrap());
        assert!(text.contains("password") && !text.contains("hunter22"), "{text}");
    }

    #[test]
    fn two_with_one_name_are_told() {
        let all = [binding("db", "t", &[]).unwrap(), binding("db", "u", &[]).unwrap()];
        assert_eq!(conflict(&all).unwrap(), "there are two bindings with the name `db`");
        assert_eq!(conflict(&all[..1]), None);
    }

    #[test]
    fn the_folder_of_a_build_without_a_sandbox_is_for_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("bindings");
        write(&[binding("db", "t", &[("password", "x")]).unwrap()], &root, None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&root), mode(&root.join("db/password"))), (0o700, 0o400));
    }
}
