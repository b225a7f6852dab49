//! Go: module proxies and the checksum database, from the environment or Go's own file.

use std::path::PathBuf;

use super::Collector;
use super::address::is_remote;

/// Variables that hold module path patterns or switches.
const PLAIN: [&str; 6] = ["GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GONOSUMCHECK", "GOINSECURE", "GOVCS"];

pub(super) fn collect(found: &mut Collector<'_>) {
    let file = match found.var("GOENV") {
        Some("off") => None,
        Some(file) => Some(PathBuf::from(file)),
        None => Some(found.config_dir().join("go/env")),
    };
    let text = file.and_then(|file| found.read(&file)).unwrap_or_default();
    let written = |name: &str| {
        let line = text.lines().rev().find_map(|l| l.trim().strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\'']).to_owned()).filter(|v| !v.is_empty())
    };
    for name in PLAIN {
        if let Some(value) = found.var(name).map(str::to_owned).or_else(|| written(name)) {
            found.set(name, value);
        }
    }
    if let Some(value) = found.var("GOPROXY").map(str::to_owned).or_else(|| written("GOPROXY")) {
        let value = proxies(found, &value);
        if !value.is_empty() {
            found.set("GOPROXY", value);
        }
    }
    if let Some(value) = found.var("GOSUMDB").map(str::to_owned).or_else(|| written("GOSUMDB")) {
        // `name+key address`: the key is a public one.
        let parts: Vec<String> = value
            .split_whitespace()
            .map(|part| if is_remote(part) { found.address("GOSUMDB", part) } else { part.to_owned() })
            .collect();
        found.set("GOSUMDB", parts.join(" "));
    }
}

/// Keeps the proxies that a build can reach, with the separators that say when the next is tried.
fn proxies(found: &mut Collector<'_>, value: &str) -> String {
    let mut out = String::new();
    for part in value.split_inclusive([',', '|']) {
        let proxy = part.trim_end_matches([',', '|']);
        let separator = &part[proxy.len()..];
        let proxy = proxy.trim();
        if matches!(proxy, "direct" | "off") {
            out += proxy;
        } else if is_remote(proxy) {
            out += &found.address("GOPROXY", proxy);
        } else {
            continue;
        }
        out += separator;
    }
    out.trim_end_matches([',', '|']).to_owned()
}
