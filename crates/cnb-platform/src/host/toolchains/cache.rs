//! The answers of the last build, good as long as nothing that could change them has changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cnb_fs::{GuestPath, HostPath};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ReadOnlyMount, ToolchainConfig, Toolchains};

/// The form of the file; a file of another form is made anew.
const VERSION: u32 = 1;

/// Variables by which users and version managers choose a toolchain.
const NAMES: [&str; 14] = [
    "PATH",
    "HOME",
    "JAVA_HOME",
    "GOROOT",
    "GOENV",
    "CARGO_HOME",
    "NVM_DIR",
    "NVM_BIN",
    "VOLTA_HOME",
    "SDKMAN_DIR",
    "FNM_DIR",
    "NODENV_VERSION",
    "GOENV_VERSION",
    "JENV_VERSION",
];
const PREFIXES: [&str; 4] = ["ASDF_", "MISE_", "PYENV_", "RUSTUP_"];

/// Files, below the home, in which version managers keep the user's choice.
const CHOICES: [&str; 9] = [
    ".pyenv/version",
    ".nodenv/version",
    ".goenv/version",
    ".jenv/version",
    ".tool-versions",
    ".config/mise/config.toml",
    ".rustup/settings.toml",
    ".nvm/alias/default",
    ".volta/tools/user/platform.json",
];

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    key: String,
    mounts: Vec<(PathBuf, PathBuf)>,
    path_dirs: Vec<PathBuf>,
    env: BTreeMap<String, String>,
}

/// Returns a digest of everything that decides the answers.
pub(super) fn key<'p>(config: &ToolchainConfig<'_>, programs: impl Iterator<Item = &'p Path>) -> String {
    let mut hash = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for (name, value) in config.env {
        let decides = NAMES.iter().any(|n| *n == name)
            || PREFIXES.iter().any(|p| name.as_bytes().starts_with(p.as_bytes()));
        if decides {
            add(name.as_bytes());
            add(value.as_bytes());
        }
    }
    let choices = CHOICES.iter().map(|c| config.home.join(c).as_path().to_path_buf());
    for path in programs.map(Path::to_path_buf).chain(choices) {
        add(path.as_os_str().as_bytes());
        // The link tells `current` directories that were turned, the file tells upgrades in place.
        for metadata in [fs_err::symlink_metadata(&path), fs_err::metadata(&path)] {
            let stamp = metadata.map_or([0; 5], |m| {
                [m.dev(), m.ino(), m.size(), m.mtime().cast_unsigned(), m.mtime_nsec().cast_unsigned()]
            });
            for number in stamp {
                add(&number.to_le_bytes());
            }
        }
        add(fs_err::canonicalize(&path).unwrap_or_default().as_os_str().as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads the answers; nothing when they belong to another state of the host, or a place is gone.
pub(super) fn read(file: &Path, key: &str) -> Option<Toolchains> {
    let bytes = fs_err::read(file).ok()?;
    let kept: File = serde_json::from_slice(&bytes).ok()?;
    if kept.version != VERSION || kept.key != key || !kept.mounts.iter().all(|(_, host)| host.exists()) {
        return None;
    }
    Some(Toolchains {
        mounts: kept
            .mounts
            .iter()
            .map(|(guest, host)| ReadOnlyMount {
                guest: GuestPath::new(guest),
                host: HostPath::absolute(host),
            })
            .collect(),
        path_dirs: kept.path_dirs.iter().map(GuestPath::new).collect(),
        env: kept.env,
    })
}

/// Keeps the answers.
pub(super) fn write(file: &Path, key: &str, toolchains: &Toolchains) -> Result<(), String> {
    let kept = File {
        version: VERSION,
        key: key.to_owned(),
        mounts: toolchains
            .mounts
            .iter()
            .map(|m| (m.guest.as_guest().to_path_buf(), m.host.as_path().to_path_buf()))
            .collect(),
        path_dirs: toolchains.path_dirs.iter().map(|d| d.as_guest().to_path_buf()).collect(),
        env: toolchains.env.clone(),
    };
    let bytes = serde_json::to_vec(&kept).map_err(|e| e.to_string())?;
    if let Some(dir) = file.parent() {
        fs_err::create_dir_all(dir).map_err(|e| e.to_string())?;
    }
    cnb_fs::atomic::write(file, &bytes).map_err(|e| format!("{e}: {}", e.source))
}
