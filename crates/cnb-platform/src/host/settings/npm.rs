//! npm and those that read its configuration: registries, never tokens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Collector;

/// Keys whose value is an address.
const ADDRESSES: [&str; 4] = ["registry", "proxy", "https-proxy", "http-proxy"];

/// Keys that are about the network and hold no secret.
const HARMLESS: [&str; 9] = [
    "strict-ssl",
    "noproxy",
    "fetch-retries",
    "fetch-retry-factor",
    "fetch-retry-mintimeout",
    "fetch-retry-maxtimeout",
    "fetch-timeout",
    "maxsockets",
    "replace-registry-host",
];

/// Variables of npm, Yarn, Corepack and version managers that hold an address.
const VARIABLES: [&str; 8] = [
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "YARN_REGISTRY",
    "YARN_NPM_REGISTRY_SERVER",
    "COREPACK_NPM_REGISTRY",
    "BUN_CONFIG_REGISTRY",
    "NODEJS_ORG_MIRROR",
    "NVM_NODEJS_ORG_MIRROR",
];

/// Writes the build's `.npmrc`; returns the file of certificates that npm is told of.
pub(super) fn collect(found: &mut Collector<'_>) -> Option<PathBuf> {
    for name in VARIABLES {
        found.pass_address(name);
    }
    let user = ["npm_config_userconfig", "NPM_CONFIG_USERCONFIG"].into_iter().find_map(|n| found.var(n));
    let user = user.map_or_else(|| found.home(".npmrc"), PathBuf::from);
    let global =
        ["npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG"].into_iter().find_map(|n| found.var(n));
    let global = global.map_or_else(|| found.system("/etc/npmrc"), PathBuf::from);
    let mut kept: BTreeMap<String, String> = BTreeMap::new();
    let mut bundle = None;
    // The user's file wins over the machine's.
    for file in [global, user] {
        let Some(text) = found.read(&file) else { continue };
        for (key, value) in text.lines().filter_map(key_value) {
            let value = expand(value, found);
            let setting = format!("{}: {key}", file.display());
            if ADDRESSES.contains(&key) || (key.starts_with('@') && key.ends_with(":registry")) {
                let value = found.address(&setting, &value);
                kept.insert(key.to_owned(), value);
            } else if HARMLESS.contains(&key) {
                kept.insert(key.to_owned(), value);
            } else if key == "cafile" {
                bundle = Some(PathBuf::from(value));
            }
        }
    }
    if !kept.is_empty() {
        let text: String = kept.iter().flat_map(|(key, value)| [key, "=", value, "\n"]).collect();
        found.file("/home/cnb/.npmrc", text);
    }
    bundle
}

fn key_value(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';', '[']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    Some((key.trim(), value.trim().trim_matches(['"', '\''])))
}

/// Puts variables in for `${NAME}`, as npm does; what is not set stays as it stands.
fn expand(value: &str, found: &Collector<'_>) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            out.push_str("${");
            rest = after;
            continue;
        };
        match found.var(name) {
            Some(value) => out.push_str(value),
            None => out.extend(["${", name, "}"]),
        }
        rest = tail;
    }
    out + rest
}
