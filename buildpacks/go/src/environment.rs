//! The environment of the Go command: caches in layers of their own, what makes builds reproducible, and the logins of
//! private modules.

use cnb_buildpack::{BuildContext, Failure};
use cnb_spec::env::Env;

/// The variable that says whether C code is compiled.
pub(crate) const CGO: &str = "CGO_ENABLED";
/// The binding that holds a `.netrc`, and the one that holds `.git-credentials`.
const NETRC: &str = "netrc";
const GIT: &str = "git-credentials";

/// Makes the environment.
///
/// With `complete`, the Go command may add to `go.mod` and `go.sum` what is missing there.
pub(crate) fn of(cx: &BuildContext, complete: bool) -> Result<Env, Failure> {
    let modules = cx.kept_layer("mod-cache")?;
    let objects = cx.kept_layer("build-cache")?;
    let mut env = cx.env.clone();
    if cx.var("GOTOOLCHAIN").is_none() {
        env.insert("GOTOOLCHAIN".into(), "auto".into());
    }
    if cx.var(CGO).is_none() {
        // Until it is known whether anything has C code, all of it is seen.
        env.insert(CGO.into(), "1".into());
    }
    let flags = cx.var("GOFLAGS").unwrap_or_default();
    // Without it the cache is read-only even for its owner, and cannot be replaced.
    let mode = if complete && !flags.contains("-mod=") { " -mod=mod" } else { "" };
    let flags = format!("{flags} -modcacherw{mode}").trim().to_owned();
    env.insert("GOFLAGS".into(), flags.into());
    env.insert("GOOS".into(), cx.target.os.clone().into());
    env.insert("GOARCH".into(), cx.target.arch.clone().into());
    env.insert("GOTELEMETRY".into(), "off".into());
    env.insert("GOPATH".into(), modules.clone().into());
    env.insert("GOMODCACHE".into(), modules.join("pkg/mod").into());
    env.insert("GOCACHE".into(), objects.into());
    if let Some(file) = cx.binding(NETRC)?.and_then(|b| b.file(".netrc").or_else(|| b.file("netrc"))) {
        env.insert("NETRC".into(), file.into());
    }
    let git = cx.binding(GIT)?.and_then(|b| b.file(".git-credentials").or_else(|| b.file("credentials")));
    if let Some(file) = git {
        // Git reads settings from variables: no file of the user is written, and none is in the way.
        env.insert("GIT_CONFIG_COUNT".into(), "1".into());
        env.insert("GIT_CONFIG_KEY_0".into(), "credential.helper".into());
        env.insert("GIT_CONFIG_VALUE_0".into(), format!("store --file='{}'", file.display()).into());
        env.insert("GIT_TERMINAL_PROMPT".into(), "0".into());
    }
    Ok(env)
}
