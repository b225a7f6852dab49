//! The archive: a gzipped tar whose bytes depend on nothing but its contents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// The time of every entry: 1980-01-01T00:00:01Z, as in image layers.
const MTIME: u64 = 315_532_801;

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A file to read.
    File(Vec<u8>),
    /// A file to run.
    Program(Vec<u8>),
    /// A link to a name in the same folder.
    Link(&'static str),
}

/// Returns the archive of `entries`, by path; each folder comes right before its first entry.
pub(super) fn bytes(entries: &BTreeMap<String, Content>) -> io::Result<Vec<u8>> {
    // Neither name nor time; the system is `unknown`, wherever this runs.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    let mut tar = Builder::new(gzip);
    let mut dirs = BTreeSet::new();
    for (path, content) in entries {
        let parent = Path::new(path).parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(parent) = parent
            && dirs.insert(parent)
        {
            append(&mut tar, &format!("{}/", parent.display()), EntryType::Directory, 0o755, &[], None)?;
        }
        match content {
            Content::File(bytes) => append(&mut tar, path, EntryType::Regular, 0o644, bytes, None)?,
            Content::Program(bytes) => append(&mut tar, path, EntryType::Regular, 0o755, bytes, None)?,
            Content::Link(to) => append(&mut tar, path, EntryType::Symlink, 0o777, &[], Some(to))?,
        }
    }
    tar.into_inner()?.finish()
}

fn append<W: Write>(
    tar: &mut Builder<W>,
    path: &str,
    kind: EntryType,
    mode: u32,
    bytes: &[u8],
    link: Option<&str>,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_path(path)?;
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MTIME);
    header.set_size(bytes.len() as u64);
    if let Some(link) = link {
        header.set_link_name(link)?;
    }
    header.set_cksum();
    tar.append(&header, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> BTreeMap<String, Content> {
        BTreeMap::from([
            ("lifecycle/lifecycle".into(), Content::Program(b"program".to_vec())),
            ("lifecycle/detector".into(), Content::Link("lifecycle")),
            ("lifecycle.toml".into(), Content::File(b"text".to_vec())),
        ])
    }

    #[test]
    fn the_descriptor_comes_first_and_everything_is_roots() {
        let bytes = bytes(&entries()).unwrap();
        let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let lines: Vec<String> = tar
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
                assert_eq!(header.mtime().unwrap(), MTIME);
                let link =
                    entry.link_name().unwrap().map_or(String::new(), |to| format!(" -> {}", to.display()));
                let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
                format!("{:o} {path}{link}", header.mode().unwrap())
            })
            .collect();
        assert_eq!(
            lines,
            [
                "644 lifecycle.toml",
                "755 lifecycle/",
                "777 lifecycle/detector -> lifecycle",
                "755 lifecycle/lifecycle"
            ]
        );
    }

    #[test]
    fn the_same_entries_give_the_same_bytes() {
        let bytes = bytes(&entries()).unwrap();
        assert_eq!(bytes, super::bytes(&entries()).unwrap());
        assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255], "neither name, time nor system");
    }
}
