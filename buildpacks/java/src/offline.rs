//! When Maven need not ask its repositories: nothing that names packages changed since a build that had all of them.

use std::path::{Path, PathBuf};

use cnb_buildpack::context::var;
use cnb_buildpack::tree::{Key, Node, Snapshot};
use cnb_buildpack::{BuildContext, Failure, tree};

/// Names all that decides which packages a build of Maven needs: its files, its settings, its arguments.
pub(crate) fn key(cx: &BuildContext, files: &Snapshot, args: &[String]) -> Result<String, Failure> {
    let of_build = |path: &Path, node: &Node| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        matches!(node, Node::File(..)) && (name.starts_with("pom.") || path.starts_with(".mvn"))
    };
    let settings = var(&cx.env, "HOME").map(|home| Path::new(home).join(".m2/settings.xml"));
    let settings = settings.filter(|file| file.is_file()).map(|file| tree::hash_file(&file)).transpose()?;
    let own = files.iter().filter(|(path, node)| of_build(path, node));
    Ok(Key::default()
        .with_snapshot("files", &own.map(|(path, node)| (path.clone(), node.clone())).collect())
        .with("settings", settings.unwrap_or_default())
        .with("arguments", args.join("\n"))
        .finish())
}

/// Whether a repository on the disk says all that can be known: it has packages, and none that may change.
pub(crate) fn is_settled(repository: &Path) -> bool {
    repository.is_dir() && !has_snapshot(repository.to_owned())
}

fn has_snapshot(dir: PathBuf) -> bool {
    fs_err::read_dir(dir).into_iter().flatten().flatten().any(|entry| {
        entry.file_type().is_ok_and(|kind| kind.is_dir())
            && (entry.file_name().to_string_lossy().ends_with("-SNAPSHOT") || has_snapshot(entry.path()))
    })
}

#[cfg(test)]
mod tests {
    use super::is_settled;

    #[test]
    fn a_repository_with_a_snapshot_is_asked_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_settled(&dir.path().join("missing")));
        fs_err::create_dir_all(dir.path().join("org/example/lib/1.0")).unwrap();
        assert!(is_settled(dir.path()));
        fs_err::create_dir_all(dir.path().join("org/example/other/2.0-SNAPSHOT")).unwrap();
        assert!(!is_settled(dir.path()));
    }
}
