//! pip and uv: indexes, never logins.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Collector;
use super::address::is_remote;

/// Keys of `pip.conf` that hold addresses, several of them separated by blanks or lines.
const ADDRESSES: [&str; 4] = ["index-url", "extra-index-url", "find-links", "proxy"];
/// Keys that are about the network and hold no secret.
const HARMLESS: [&str; 5] = ["trusted-host", "timeout", "retries", "default-timeout", "no-index"];

/// Variables that hold addresses, separated by blanks.
const VARIABLES: [&str; 9] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_PROXY",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
];

pub(super) fn collect(found: &mut Collector<'_>) {
    for name in VARIABLES {
        let Some(value) = found.var(name).map(str::to_owned) else { continue };
        let value = addresses(found, name, &value).join(" ");
        if !value.is_empty() {
            found.set(name, value);
        }
    }
    for name in ["PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES", "UV_HTTP_TIMEOUT"] {
        found.pass(name);
    }
    let mut kept: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for file in files(found) {
        let Some(text) = found.read(&file) else { continue };
        for (section, key, value) in entries(&text) {
            if !matches!(section.as_str(), "global" | "install" | "download" | "wheel") {
                continue;
            }
            let values = if ADDRESSES.contains(&key.as_str()) {
                addresses(found, &format!("{}: {key}", file.display()), &value)
            } else if HARMLESS.contains(&key.as_str()) {
                value.split_whitespace().map(str::to_owned).collect()
            } else {
                continue;
            };
            if !values.is_empty() {
                // A later file replaces what an earlier one says.
                kept.insert((section, key), values);
            }
        }
    }
    let mut text = String::new();
    let mut current = "";
    for ((section, key), values) in &kept {
        if current != section {
            text.extend(["[", section, "]\n"]);
            current = section;
        }
        text.extend([key, " = ", &values.join("\n    "), "\n"]);
    }
    if !text.is_empty() {
        found.file("/home/cnb/.config/pip/pip.conf", text);
    }
}

/// Returns pip's files, the one that wins last.
fn files(found: &Collector<'_>) -> Vec<PathBuf> {
    let mut files = vec![
        found.system("/etc/xdg/pip/pip.conf"),
        found.system("/etc/pip.conf"),
        found.home(".pip/pip.conf"),
        found.config_dir().join("pip/pip.conf"),
    ];
    match found.var("PIP_CONFIG_FILE") {
        // pip's own way to read no file at all.
        Some("/dev/null") => files.clear(),
        Some(file) => files.push(PathBuf::from(file)),
        None => {}
    }
    files
}

fn addresses(found: &mut Collector<'_>, setting: &str, value: &str) -> Vec<String> {
    let mut kept = Vec::new();
    for item in value.split_whitespace() {
        // uv's indexes can have a name: `name=https://…`.
        let url = item.find("http").map_or(item, |start| &item[start..]);
        // A folder of the host is not there in the build; a proxy may be written without scheme.
        if is_remote(url) || setting.to_ascii_lowercase().ends_with("proxy") {
            let name = &item[..item.len() - url.len()];
            let name = if name.ends_with('=') { name } else { "" };
            let clean = found.address(setting, url);
            kept.push(format!("{name}{clean}"));
        }
    }
    kept
}

/// Reads the form of Python's `configparser`: indented lines go on with the value above.
fn entries(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut entries: Vec<(String, String, String)> = Vec::new();
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t'])
            && let Some((_, _, value)) = entries.last_mut()
        {
            value.push('\n');
            value.push_str(content);
        } else if let Some(name) = content.strip_prefix('[').and_then(|r| r.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
        } else if let Some((key, value)) = content.split_once(['=', ':']) {
            // pip reads `index_url` as well.
            let key = key.trim().to_ascii_lowercase().replace('_', "-");
            entries.push((section.clone(), key, value.trim().to_owned()));
        }
    }
    entries
}
