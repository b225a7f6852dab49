//! Maven's own classes as its Java had loaded and verified them (class data sharing), kept so that the next run starts
//! sooner. Java itself ignores what is not of the same Java or the same archives.

use std::path::{Path, PathBuf};

use cnb_buildpack::{Failure, tree};

use crate::jdk::Jdk;

/// The first Java that writes such a file when it ends.
const SINCE: u32 = 13;

/// The file of the classes, and whether a build before this one wrote it.
pub(crate) struct Preloaded {
    file: Option<PathBuf>,
    is_there: bool,
}

impl Preloaded {
    /// Looks for the file in a folder that is kept.
    pub(crate) fn of(dir: &Path, jdk: &Jdk) -> Self {
        let file = (jdk.major >= SINCE).then(|| dir.join(format!("maven-{}.jsa", jdk.version)));
        Self { is_there: file.as_deref().is_some_and(Path::is_file), file }
    }

    /// Options of Java that use the file, or write it.
    pub(crate) fn options(&self) -> Vec<String> {
        let Some(file) = &self.file else { return Vec::new() };
        let option = if self.is_there { "SharedArchiveFile" } else { "ArchiveClassesAtExit" };
        let quiet = ["-Xlog:disable", "-Xlog:all=error:stderr"].map(str::to_owned);
        quiet.into_iter().chain([format!("-XX:{option}={}", file.display())]).collect()
    }

    /// Removes what a run wrote that failed: it has not loaded all that a whole one does.
    pub(crate) fn forget(&self) -> Result<(), Failure> {
        match &self.file {
            Some(file) if !self.is_there => tree::remove(file),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Jdk, Preloaded};

    fn jdk(major: u32) -> Jdk {
        Jdk { home: "/jdk".into(), version: format!("{major}.0.1"), major }
    }

    #[test]
    fn classes_are_written_once_and_used_then() {
        let dir = tempfile::tempdir().unwrap();
        let option = |major| Preloaded::of(dir.path(), &jdk(major)).options().pop().unwrap_or_default();
        assert_eq!(option(11), "");
        assert!(option(17).starts_with("-XX:ArchiveClassesAtExit="));
        fs_err::write(dir.path().join("maven-17.0.1.jsa"), "").unwrap();
        assert!(option(17).starts_with("-XX:SharedArchiveFile="));
        assert!(option(21).starts_with("-XX:ArchiveClassesAtExit="));
    }

    #[test]
    fn what_a_failed_run_wrote_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("maven-17.0.1.jsa");
        let before = Preloaded::of(dir.path(), &jdk(17));
        fs_err::write(&file, "").unwrap();
        Preloaded::of(dir.path(), &jdk(17)).forget().unwrap();
        assert!(file.is_file());
        before.forget().unwrap();
        assert!(!file.exists());
    }
}
