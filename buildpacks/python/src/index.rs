//! Where packages come from: what pip is told in `pip.conf`, told to uv, which does not read it.

use std::path::{Path, PathBuf};

use cnb_buildpack::context::var;
use cnb_buildpack::{BuildContext, Failure};
use cnb_spec::env::Env;

/// The binding that holds a `pip.conf`, and the one that holds a `.netrc`.
const PIP: &str = "pip";
const NETRC: &str = "netrc";

/// Returns the variables for uv; those that the user set for uv itself stay.
pub(crate) fn settings(cx: &BuildContext) -> Result<Env, Failure> {
    let mut found = Env::new();
    if let Some(file) = cx.binding(NETRC)?.and_then(|b| b.file(".netrc").or_else(|| b.file("netrc"))) {
        found.insert("NETRC".into(), file.into());
    }
    let bound = cx.binding(PIP)?.and_then(|b| b.file("pip.conf"));
    if let Some(file) = &bound {
        found.insert("PIP_CONFIG_FILE".into(), file.clone().into());
    }
    let home = var(&cx.env, "HOME").map(PathBuf::from).unwrap_or_default();
    let files = [
        bound,
        var(&cx.env, "PIP_CONFIG_FILE").map(PathBuf::from),
        Some(home.join(".config/pip/pip.conf")),
        Some(home.join(".pip/pip.conf")),
        Some(PathBuf::from("/etc/pip.conf")),
    ];
    let texts: Vec<String> = files.into_iter().flatten().filter_map(|f| read(&f)).collect();
    for (variable, pip, uv) in [
        ("PIP_INDEX_URL", "index-url", "UV_DEFAULT_INDEX"),
        ("PIP_EXTRA_INDEX_URL", "extra-index-url", "UV_INDEX"),
        ("PIP_FIND_LINKS", "find-links", "UV_FIND_LINKS"),
        ("PIP_CERT", "cert", "SSL_CERT_FILE"),
    ] {
        let is_set = var(&cx.env, uv).is_some()
            || (uv == "UV_DEFAULT_INDEX" && var(&cx.env, "UV_INDEX_URL").is_some());
        let value =
            var(&cx.env, variable).map(str::to_owned).or_else(|| texts.iter().find_map(|t| setting(t, pip)));
        // Folders of the machine need not be there in a build.
        let value =
            value.filter(|v| !v.starts_with('/') || Path::new(v.split(' ').next().unwrap_or(v)).exists());
        if let (Some(value), false) = (value, is_set) {
            found.insert(uv.into(), value.into());
        }
    }
    Ok(found)
}

fn read(file: &Path) -> Option<String> {
    fs_err::read_to_string(file).ok()
}

/// Reads a setting of the sections `[global]` and `[install]`; a list may go on in indented lines.
fn setting(text: &str, name: &str) -> Option<String> {
    let (mut inside, mut found): (bool, Option<Vec<&str>>) = (false, None);
    for line in text.lines().filter(|l| !l.trim_start().starts_with(['#', ';'])) {
        if line.starts_with('[') {
            inside = matches!(line.trim(), "[global]" | "[install]");
        } else if let (true, Some(values)) = (line.starts_with([' ', '\t']), found.as_mut()) {
            values.push(line.trim());
        } else if found.as_ref().is_some_and(|v| v.iter().any(|t| !t.is_empty())) {
            break;
        } else if inside && let Some((key, value)) = line.split_once(['=', ':']) {
            let key = key.trim().replace('_', "-");
            found = (key == name).then(|| vec![value.trim().trim_matches(['\'', '"'])]);
        }
    }
    let found = found?.join(" ").trim().to_owned();
    (!found.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::setting;

    #[test]
    fn pip_conf_is_read_as_pip_reads_it() {
        let text = "[freeze]\nindex-url = no\n[global]\n# mirror\nindex_url = https://mirror.example/simple\nextra-index-url =\n    https://a.example\n    https://b.example\ntimeout = 10\n";
        assert_eq!(setting(text, "index-url").as_deref(), Some("https://mirror.example/simple"));
        assert_eq!(setting(text, "extra-index-url").as_deref(), Some("https://a.example https://b.example"));
        assert_eq!(setting(text, "find-links"), None);
    }
}
