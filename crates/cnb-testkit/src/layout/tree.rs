//! Tars of what is in a directory, or of files by path.

use std::io::{self, Write};
use std::path::Path;

/// Returns the tree as a tar, sorted, with fixed times and owners.
pub(super) fn tar_of(tree: &Path) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.mode(tar::HeaderMode::Deterministic);
    builder.follow_symlinks(false);
    add(&mut builder, tree, Path::new(""))?;
    builder.into_inner()
}

fn add(builder: &mut tar::Builder<impl Write>, tree: &Path, dir: &Path) -> io::Result<()> {
    let mut entries = fs_err::read_dir(tree.join(dir))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    for entry in entries {
        let path = dir.join(entry.file_name());
        builder.append_path_with_name(entry.path(), &path)?;
        if entry.file_type()?.is_dir() {
            add(builder, tree, &path)?;
        }
    }
    Ok(())
}

/// Returns a tar of files, in their order.
pub(super) fn tar_of_files(files: &[(String, String)]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(1);
        builder.append_data(&mut header, path, text.as_bytes())?;
    }
    builder.into_inner()
}
