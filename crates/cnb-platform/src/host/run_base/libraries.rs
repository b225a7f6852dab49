//! Shared libraries: where they are, and everything that those in the image need in turn.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, GuestPath, HostPath};

use super::RunBaseError;
use super::list::Arch;
use super::tree::Tree;
use crate::host::elf;

/// Where the loader looks, and what was found so far.
pub(super) struct Libraries {
    arch: Arch,
    dirs: Vec<String>,
    known: BTreeSet<String>,
    loader: Option<String>,
}

impl Libraries {
    /// Takes the loader's own directories, then those of `/etc/ld.so.conf`.
    pub(super) fn new(tree: &mut Tree, arch: Arch) -> Result<Self, FsError> {
        let multiarch = format!("{}-linux-gnu", arch.machine_name());
        let mut dirs = Vec::new();
        for dir in [
            format!("/lib/{multiarch}"),
            format!("/usr/lib/{multiarch}"),
            "/lib64".to_owned(),
            "/usr/lib64".to_owned(),
            "/lib".to_owned(),
            "/usr/lib".to_owned(),
        ] {
            dirs.push(dir);
        }
        for name in tree.names(Path::new("/etc/ld.so.conf.d"))? {
            let name = Path::new("/etc/ld.so.conf.d").join(name);
            let is_list = name.extension().is_some_and(|e| e == "conf");
            let Some(path) = name.to_str().filter(|_| is_list) else { continue };
            let text = tree.read(path)?.unwrap_or_default();
            for line in String::from_utf8_lossy(&text).lines() {
                let line = line.split('#').next().unwrap_or_default().trim().trim_end_matches('/');
                if line.starts_with('/') && !dirs.iter().any(|d| d == line) {
                    dirs.push(line.to_owned());
                }
            }
        }
        Ok(Self { arch, dirs, known: BTreeSet::new(), loader: None })
    }

    /// Returns where libraries are looked for.
    pub(super) fn dirs(&self) -> &[String] {
        &self.dirs
    }

    /// Returns the loader that the programs ask for.
    pub(super) fn loader(&self) -> Option<&str> {
        self.loader.as_deref()
    }

    /// Adds a library by its name; returns its file, `None` when the host does not have it.
    pub(super) fn add(&mut self, tree: &mut Tree, name: &str) -> Result<Option<HostPath>, FsError> {
        let dirs = self.dirs.clone();
        self.add_from(tree, name, dirs.iter().map(String::as_str))
    }

    fn add_from<'d>(
        &mut self,
        tree: &mut Tree,
        name: &str,
        dirs: impl Iterator<Item = &'d str>,
    ) -> Result<Option<HostPath>, FsError> {
        for dir in dirs {
            let path = format!("{dir}/{name}");
            let Some(host) = tree.find(Path::new(&path))? else { continue };
            // A host can have libraries of several architectures side by side.
            let file = fs_err::File::open(host.as_path()).map_err(FsError::on("read", host.as_path()))?;
            if elf::needs(file).is_some_and(|n| n.machine == self.arch.elf_machine()) {
                tree.add(&path)?;
                self.known.insert(name.to_owned());
                return Ok(Some(host));
            }
        }
        Ok(None)
    }

    /// Adds all that the files in the image need, until nothing is missing.
    pub(super) fn close(&mut self, tree: &mut Tree) -> Result<(), RunBaseError> {
        loop {
            let added = tree.take_added();
            if added.is_empty() {
                return Ok(());
            }
            for (guest, host) in added {
                let file = fs_err::File::open(host.as_path()).map_err(FsError::on("read", host.as_path()))?;
                if let Some(needs) = elf::needs(file) {
                    self.satisfy(tree, &guest, &needs)?;
                }
            }
        }
    }

    fn satisfy(&mut self, tree: &mut Tree, of: &GuestPath, needs: &elf::Needs) -> Result<(), RunBaseError> {
        if let Some(loader) = needs.interpreter.as_deref().and_then(Path::to_str)
            && self.loader.is_none()
        {
            tree.add(loader)?;
            self.loader = Some(loader.to_owned());
        }
        let origin = of.parent().map(|d| d.as_guest().to_path_buf()).unwrap_or_default();
        let own: Vec<String> = needs.search.iter().filter_map(|s| expand(s, &origin)).collect();
        for name in &needs.libraries {
            if self.known.contains(name) || self.loader.as_deref().is_some_and(|l| l.ends_with(name)) {
                continue;
            }
            let dirs: Vec<String> = own.iter().chain(&self.dirs).cloned().collect();
            if self.add_from(tree, name, dirs.iter().map(String::as_str))?.is_none() {
                return Err(RunBaseError::Missing { what: format!("library `{name}`, which `{of}` needs") });
            }
        }
        Ok(())
    }
}

/// Puts the directory of the file itself for `$ORIGIN`; other variables are not for us to know.
fn expand(search: &str, origin: &Path) -> Option<String> {
    let origin = origin.to_str()?;
    let text = search.replace("${ORIGIN}", origin).replace("$ORIGIN", origin);
    let is_usable = !text.contains('$') && PathBuf::from(&text).is_absolute();
    is_usable.then_some(text)
}
