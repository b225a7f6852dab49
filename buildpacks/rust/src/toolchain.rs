//! Which of this machine's toolchains compiles: its default, or the one beside it that the app asks for.

use std::path::{Path, PathBuf};

use cnb_buildpack::context::find_program;
use cnb_buildpack::wanted::Wanted;
use cnb_buildpack::{BuildContext, Failure};

use crate::manifest;

/// The folder in which rustup keeps toolchains, each in a folder of its own.
const FOLDER: &str = "toolchains";

/// The programs of a toolchain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    /// The folder of both, where it is not on the `PATH`.
    pub(crate) bin: Option<PathBuf>,
}

/// Finds the toolchain that is asked for, or else this machine's default.
pub(crate) fn find(cx: &BuildContext, wish: Option<&Wanted>) -> Result<Toolchain, Failure> {
    let missing = || {
        Failure::new("there is no Rust on this machine")
            .next("install Rust (with rustup, or the packages rustc and cargo)")
    };
    let cargo = find_program(&cx.env, "cargo").ok_or_else(missing)?;
    let rustc = find_program(&cx.env, "rustc").ok_or_else(missing)?;
    let beside = wish.and_then(|wish| beside(&cargo, &wish.version));
    Ok(beside.unwrap_or(Toolchain { cargo, rustc, bin: None }))
}

/// Finds the toolchain of a channel beside the one that a program is of.
fn beside(cargo: &Path, channel: &str) -> Option<Toolchain> {
    let own = cargo.canonicalize().ok()?;
    let all = own.ancestors().find(|dir| dir.file_name().is_some_and(|n| n == FOLDER))?;
    let mut names: Vec<String> =
        fs_err::read_dir(all).ok()?.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let is_of = |name: &&String| {
        let rest = name.strip_prefix(channel);
        // `1.80` is `1.80.1-x86_64-unknown-linux-gnu`, too, but `nightly` is no nightly of a day.
        rest.is_some_and(|rest| {
            let dated = rest.strip_prefix('-').is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()));
            rest.is_empty()
                || (rest.starts_with('-') && !dated)
                || (manifest::is_number(channel) && rest.starts_with('.'))
        })
    };
    let bin = all.join(names.iter().rev().find(is_of)?).join("bin");
    let toolchain = Toolchain { cargo: bin.join("cargo"), rustc: bin.join("rustc"), bin: Some(bin) };
    (toolchain.cargo.is_file() && toolchain.rustc.is_file()).then_some(toolchain)
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn the_toolchain_of_a_channel_is_found_beside_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let all = dir.path().canonicalize().unwrap().join("toolchains");
        for name in ["stable-x", "nightly-x", "nightly-2024-01-01-x", "1.80.1-x", "1.8.0-x"] {
            let bin = all.join(name).join("bin");
            fs_err::create_dir_all(&bin).unwrap();
            fs_err::write(bin.join("cargo"), "").unwrap();
            fs_err::write(bin.join("rustc"), "").unwrap();
        }
        let found = |channel: &str| {
            let bin = beside(&all.join("stable-x/bin/cargo"), channel)?.bin?;
            Some(bin.parent()?.file_name()?.to_str()?.to_owned())
        };
        assert_eq!(found("nightly").as_deref(), Some("nightly-x"));
        assert_eq!(found("nightly-2024-01-01").as_deref(), Some("nightly-2024-01-01-x"));
        assert_eq!(found("1.80").as_deref(), Some("1.80.1-x"));
        assert_eq!(found("1.8").as_deref(), Some("1.8.0-x"));
        assert_eq!(found("1.70"), None);
        assert_eq!(beside(&dir.path().join("usr/bin/cargo"), "nightly"), None);
    }
}
