//! Downloads with the machine's own `curl` or `wget`, for runtimes that no package registry has.
//!
//! Proxies and certificates are the business of those programs and of the environment they are given.

use std::path::Path;

use cnb_spec::env::Env;

use crate::command::Command;
use crate::context::find_program;
use crate::{Failure, tree};

/// Downloads `url` to `file`; with a checksum, a file with another content is refused and removed.
pub fn download(env: &Env, url: &str, file: &Path, sha256: Option<&str>) -> Result<(), Failure> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    let command = if let Some(curl) = find_program(env, "curl") {
        Command::new(curl, dir, env)
            .args(["-fsSL", "--retry", "2", "--connect-timeout", "20", "-o"])
            .args([file.as_os_str()])
            .args([url])
            .title(format!("curl {url}"))
    } else if let Some(wget) = find_program(env, "wget") {
        Command::new(wget, dir, env)
            .args(["-q", "--tries=3", "--timeout=20", "-O"])
            .args([file.as_os_str()])
            .args([url])
            .title(format!("wget {url}"))
    } else {
        return Err(Failure::new(format!("failed to download `{url}`"))
            .because("neither curl nor wget is on the PATH")
            .next("install curl, or install the runtime itself on this machine"));
    };
    command.read()?;
    let Some(expected) = sha256 else { return Ok(()) };
    let found = tree::hex(&tree::hash_file(file)?);
    if found == expected.to_ascii_lowercase() {
        return Ok(());
    }
    tree::remove(file)?;
    Err(Failure::new(format!("refused `{url}`"))
        .because(format!("its SHA-256 is {found}, published is {expected}"))
        .next("try again; if it persists, something between this machine and the site changes downloads"))
}

/// Unpacks a gzip-compressed tar file into `dir`, without the first component of each path.
pub fn unpack(env: &Env, archive: &Path, dir: &Path) -> Result<(), Failure> {
    fs_err::create_dir_all(dir)?;
    Command::new("tar", dir, env)
        .args(["-xzf"])
        .args([archive.as_os_str()])
        .args(["--strip-components=1", "--no-same-owner"])
        .title(format!("tar -xzf {}", archive.display()))
        .read()
        .map(drop)
}
