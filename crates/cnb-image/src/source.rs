//! What a layer is made from: a directory tree, a list of paths, or entries that are generated.

use std::path::PathBuf;
use std::sync::Arc;

use cnb_fs::{FsError, GuestPath, HostPath, Owner, Root};

/// Who owns the directories above the root of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentOwner {
    /// Whoever owns them on disk, as in the lifecycle (requirement E5).
    OnDisk,
    /// Always this one: in a sandbox with a single-id map, ids on disk are the caller's own.
    Fixed(Owner),
}

/// The owners of the entries of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The owner of the root of the layer and all below it.
    pub content: Owner,
    /// The owner of the directories above it.
    pub parents: ParentOwner,
}

/// What a layer is made from.
#[derive(Debug)]
pub enum LayerSource<'a> {
    /// A directory with all below it, in depth-first order (E12), after its parents (E6).
    ///
    /// A `path` that is a link or a file gives just that one entry (J30).
    Tree {
        /// Where the tree is read.
        root: &'a Root,
        /// The tree.
        path: GuestPath,
        /// Who owns what.
        owner: Ownership,
    },
    /// Paths one by one in the given order, nothing below them, after the parents of `top`.
    ///
    /// Without paths the layer is empty: not even parents (E15).
    Paths {
        /// Where the paths are read.
        root: &'a Root,
        /// The directory that the paths are in.
        top: GuestPath,
        /// The paths.
        paths: Vec<GuestPath>,
        /// Who owns what.
        owner: Ownership,
    },
    /// Exactly these entries in this order; none give the empty layer.
    Entries(Vec<Entry>),
}

/// A generated entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the tar; layers of this project have absolute ones (E1).
    pub path: PathBuf,
    /// Permission bits, set-id and sticky bits included.
    pub mode: u32,
    /// Its owner.
    pub owner: Owner,
    /// What it is.
    pub kind: EntryKind,
}

/// What a generated entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Dir,
    /// A file.
    File(Content),
    /// A symbolic link.
    Link(PathBuf),
}

/// The content of a generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// What a file of the host has.
    Host(HostPath),
}

impl Entry {
    /// Returns a directory.
    pub fn dir(path: impl Into<PathBuf>, mode: u32, owner: Owner) -> Self {
        Self { path: path.into(), mode, owner, kind: EntryKind::Dir }
    }

    /// Returns a file.
    pub fn file(path: impl Into<PathBuf>, mode: u32, owner: Owner, content: Content) -> Self {
        Self { path: path.into(), mode, owner, kind: EntryKind::File(content) }
    }

    /// Returns a symbolic link.
    pub fn link(path: impl Into<PathBuf>, target: impl Into<PathBuf>, mode: u32, owner: Owner) -> Self {
        Self { path: path.into(), mode, owner, kind: EntryKind::Link(target.into()) }
    }
}

/// Why a layer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file could not be read or a blob not written.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A file had another length, or was another thing, than when it was looked at.
    #[error("`{}` {how} while the layer was made", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What happened to it.
        how: &'static str,
    },
    /// The store refused the blob.
    #[error(transparent)]
    Store(#[from] crate::ImageError),
}
