//! The minimal run image, derived from the host: a fixed list of files and what these need.
//!
//! The list is in [`list`]; `docs/default-builder.md` says the same for users. [`plan`] only decides: it
//! returns the entries of one layer in the order of the tar file, and the image's configuration. The same
//! host gives the same plan, and the plan's fingerprint can be checked without making the plan again.

mod libc;
mod libraries;
pub mod list;
mod stamp;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, GuestPath, HostPath};

pub use libc::{Libc, RunImageTooOld, compare, libc_of};
pub use stamp::Stamp;

use libraries::Libraries;
use tree::Tree;

/// Everything the base image is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasePlan {
    /// The entries of its one layer, sorted by path, parents first.
    pub entries: Vec<BaseEntry>,
    /// The labels of its configuration.
    pub labels: BTreeMap<String, String>,
    /// The environment of its configuration.
    pub env: Vec<(String, String)>,
    /// The user of its configuration.
    pub user: &'static str,
    /// Its architecture, as in image configurations.
    pub arch: &'static str,
    /// The libc in it.
    pub libc: Libc,
    /// What the plan was made from; holds the fingerprint.
    pub stamp: Stamp,
}

/// One entry of the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseEntry {
    /// Its path in the image.
    pub guest: GuestPath,
    /// Its permissions.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// What it is.
    pub content: BaseContent,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseContent {
    /// A directory.
    Dir,
    /// A symbolic link, and what it says.
    Link(PathBuf),
    /// A file of the host.
    File {
        /// Where it is read.
        host: HostPath,
        /// Its size in bytes.
        size: u64,
    },
    /// A file that the host does not have in this form.
    Generated(Vec<u8>),
}

/// Why the host gives no run image.
#[derive(Debug, thiserror::Error)]
pub enum RunBaseError {
    /// Something that every image needs is not there.
    #[error("the host has no {what}, so no run image can be made of it; give one with `--run-image`")]
    Missing {
        /// What is missing, and where it was looked for.
        what: String,
    },
    /// This architecture has no name in images.
    #[error("no run image can be made for the architecture `{0}`; give one with `--run-image`")]
    Architecture(&'static str),
    /// A file could not be looked at.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// Decides what the base image holds; `root` is `/`, except in tests.
pub fn plan(root: &Path) -> Result<BasePlan, RunBaseError> {
    let arch = list::Arch::of_this_program().ok_or(RunBaseError::Architecture(std::env::consts::ARCH))?;
    let mut tree = Tree::new(root);
    for (path, mode) in list::DIRECTORIES {
        tree.own_dir(path, mode, 0);
    }
    tree.own_dir(list::HOME, 0o755, 1);
    for link in list::TOP_LINKS {
        tree.add_link_only(link)?;
    }
    let os_release = tree.read("/etc/os-release")?.unwrap_or_default();

    let libc = add_libraries_and_programs(&mut tree, arch)?;
    add_data(&mut tree)?;
    for (path, contents) in list::GENERATED {
        tree.generate(path, contents.as_bytes());
    }
    let labels = labels(&os_release);
    let (entries, stamp) = tree.finish();
    let env = vec![("PATH".to_owned(), list::PATH.to_owned())];
    Ok(BasePlan { entries, labels, env, user: list::USER, arch: arch.image_name(), libc, stamp })
}

fn add_libraries_and_programs(tree: &mut Tree, arch: list::Arch) -> Result<Libc, RunBaseError> {
    let missing = |what: String| RunBaseError::Missing { what };
    let mut libraries = Libraries::new(tree, arch)?;
    let shell = "/bin/sh";
    if !tree.add(shell)? {
        return Err(missing(format!("shell `{shell}`")));
    }
    for program in list::PROGRAMS {
        for dir in list::PROGRAM_DIRS {
            if tree.add(&format!("{dir}/{program}"))? {
                break;
            }
        }
    }
    let libc = match libraries.add(tree, "libc.so.6")? {
        Some(path) => {
            let bytes = fs_err::read(path.as_path()).map_err(FsError::on("read", path.as_path()))?;
            let version = super::elf::libc_version(&bytes);
            Libc::Gnu(version.ok_or_else(|| missing(format!("version in `{path}`")))?)
        }
        None if tree.add(&format!("/lib/ld-musl-{}.so.1", arch.machine_name()))? => Libc::Musl,
        None => return Err(missing("C library `libc.so.6`".to_owned())),
    };
    for name in list::LIBRARIES {
        libraries.add(tree, name)?;
    }
    for dir in libraries.dirs().to_vec() {
        tree.add_tree(&format!("{dir}/ossl-modules"), &[])?;
    }
    libraries.close(tree)?;
    match libraries.loader() {
        Some(loader) if !tree.add(loader)? => Err(missing(format!("loader `{loader}`"))),
        _ => Ok(libc),
    }
}

fn add_data(tree: &mut Tree) -> Result<(), RunBaseError> {
    for path in list::FILES {
        tree.add(path)?;
    }
    tree.add_tree("/etc/ld.so.conf.d", &[])?;
    tree.add_tree("/usr/lib/locale/C.utf8", &[])?;
    // Two more copies of the same zones, for programs that count leap seconds.
    tree.add_tree("/usr/share/zoneinfo", &["posix", "right", "localtime"])?;
    for bundle in list::CA_BUNDLES {
        if tree.add(bundle)? {
            if bundle != list::CA_BUNDLES[0] {
                tree.link(list::CA_BUNDLES[0], bundle);
            }
            // OpenSSL reads the file of this name in its own directory; the directory of single
            // certificates beside it would need one link for each.
            for dir in list::OPENSSL_DIRS {
                if tree.has_dir(dir)? {
                    tree.link(&format!("{dir}/cert.pem"), list::CA_BUNDLES[0]);
                }
            }
            break;
        }
    }
    Ok(())
}

fn labels(os_release: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(os_release);
    let value = |key: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned()).filter(|v| !v.is_empty())
    };
    let distro = value("ID").unwrap_or_else(|| "linux".to_owned());
    let version = value("VERSION_ID").unwrap_or_default();
    let name = if version.is_empty() { distro.clone() } else { format!("{distro}:{version}") };
    [
        ("io.buildpacks.base.distro.name", distro),
        ("io.buildpacks.base.distro.version", version),
        ("io.buildpacks.base.id", list::BASE_ID.to_owned()),
        ("io.buildpacks.base.maintainer", "cnb".to_owned()),
        ("io.buildpacks.base.description", "minimal run image derived from the build host".to_owned()),
        ("org.opencontainers.image.base.name", format!("host/{name}")),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect()
}

#[cfg(test)]
mod tests;
