//! The layers that the exporter generates: the launcher, and the links that are process types.

use cnb_fs::Owner;
use cnb_image::{Content, Entry};
use cnb_spec::platform::labels::{GitSource, LauncherMetadata, LauncherSource};
use cnb_spec::process::Process;

use crate::ExportError;

/// Where the launcher is in every app image.
pub const LAUNCHER: &str = "/cnb/lifecycle/launcher";

const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// Returns what images say of the launcher in them: version and source of this build (requirement E34).
///
/// The commit is what `CNB_SOURCE_COMMIT` was when this crate was compiled, and empty otherwise: only what is
/// packaged for others comes from a commit, and an image must not change with every commit of ours.
pub fn launcher_metadata() -> LauncherMetadata {
    let repository = env!("CARGO_PKG_REPOSITORY");
    let git = GitSource {
        // Without the scheme, as the Go program names its own.
        repository: repository.strip_prefix("https://").unwrap_or(repository).to_owned(),
        commit: option_env!("CNB_SOURCE_COMMIT").unwrap_or_default().to_owned(),
    };
    LauncherMetadata { version: env!("CARGO_PKG_VERSION").to_owned(), source: LauncherSource { git } }
}

/// Returns the layer with the launcher (E13).
pub(crate) fn launcher(content: &Content) -> Vec<Entry> {
    vec![
        Entry::dir("/cnb", 0o755, ROOT),
        Entry::dir("/cnb/lifecycle", 0o755, ROOT),
        Entry::file(LAUNCHER, 0o755, ROOT, content.clone()),
    ]
}

/// Returns the layer with a link for each process type (E14), `None` without processes.
pub(crate) fn process_types(processes: &[Process]) -> Result<Option<Vec<Entry>>, ExportError> {
    if processes.is_empty() {
        return Ok(None);
    }
    let mut entries = vec![Entry::dir("/cnb", 0o755, ROOT), Entry::dir("/cnb/process", 0o755, ROOT)];
    for process in processes {
        if !process.has_usable_type() {
            return Err(ExportError::ProcessType { process_type: process.process_type.clone() });
        }
        entries.push(Entry::link(path(&process.process_type), LAUNCHER, 0o755, ROOT));
    }
    Ok(Some(entries))
}

/// Returns the entrypoint of a process type.
pub(crate) fn path(process_type: &str) -> String {
    format!("/cnb/process/{process_type}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_launcher_is_named_by_version_and_repository() {
        let metadata = launcher_metadata();
        assert_eq!(metadata.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(metadata.source.git.repository, "github.com/cnb-rs/cnb");
    }
}
