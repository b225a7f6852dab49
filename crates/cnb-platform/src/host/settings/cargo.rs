//! Cargo and rustup: sources and registries, never tokens.

use std::path::PathBuf;

use toml::{Table, Value};

use super::Collector;
use super::address::is_remote;

/// Keys of `[http]` and `[net]` that hold no secret and no path of the host.
const HTTP: [&str; 5] = ["timeout", "multiplexing", "low-speed-limit", "check-revoke", "ssl-version"];
const NET: [&str; 2] = ["retry", "git-fetch-with-cli"];

pub(super) fn collect(found: &mut Collector<'_>) {
    for name in ["RUSTUP_DIST_SERVER", "RUSTUP_UPDATE_ROOT", "CARGO_HTTP_PROXY"] {
        found.pass_address(name);
    }
    for name in
        ["CARGO_REGISTRY_DEFAULT", "CARGO_NET_GIT_FETCH_WITH_CLI", "CARGO_NET_RETRY", "CARGO_HTTP_TIMEOUT"]
    {
        found.pass(name);
    }
    let indexes: Vec<String> = found
        .config
        .env
        .keys()
        .filter_map(|k| k.to_str())
        .filter(|k| k.starts_with("CARGO_REGISTRIES_") && k.ends_with("_INDEX"))
        .map(str::to_owned)
        .collect();
    for name in indexes {
        found.pass_address(&name);
    }
    let home = found.var("CARGO_HOME").map_or_else(|| found.home(".cargo"), PathBuf::from);
    for name in ["config.toml", "config"] {
        let file = home.join(name);
        let Some(text) = found.read(&file) else { continue };
        match toml::from_str::<Table>(&text) {
            Ok(table) => {
                let kept = keep(found, &file.display().to_string(), &table);
                if !kept.is_empty() {
                    found.file("/home/cnb/.cargo/config.toml", kept.to_string());
                }
            }
            Err(e) => found.leave_out(&file, format!("it is not TOML: {}", e.message())),
        }
        return;
    }
}

fn keep(found: &mut Collector<'_>, file: &str, table: &Table) -> Table {
    let mut kept = Table::new();
    let sources = sources(found, file, table);
    let registries = registries(found, file, table);
    for (name, inner) in [("source", sources), ("registries", registries)] {
        if !inner.is_empty() {
            kept.insert(name.to_owned(), Value::Table(inner));
        }
    }
    for (section, keys) in [("http", HTTP.as_slice()), ("net", &NET), ("registry", &["default"])] {
        let Some(inner) = table.get(section).and_then(Value::as_table) else { continue };
        let mut inner_kept: Table = inner
            .iter()
            .filter(|(k, _)| keys.contains(&k.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if section == "http"
            && let Some(proxy) = inner.get("proxy").and_then(Value::as_str)
        {
            let proxy = found.address(&format!("{file}: http.proxy"), proxy);
            inner_kept.insert("proxy".to_owned(), Value::String(proxy));
        }
        if !inner_kept.is_empty() {
            kept.insert(section.to_owned(), Value::Table(inner_kept));
        }
    }
    kept
}

fn sources(found: &mut Collector<'_>, file: &str, table: &Table) -> Table {
    let mut kept = Table::new();
    let Some(sources) = table.get("source").and_then(Value::as_table) else { return kept };
    // A source in a folder of the host is not there in the build, nor is what it replaces replaced.
    let is_local = |source: &Table| source.contains_key("directory") || source.contains_key("local-registry");
    let local = |name: &str| sources.get(name).and_then(Value::as_table).is_none_or(is_local);
    for (name, source) in sources {
        let Some(source) = source.as_table().filter(|s| !is_local(s)) else { continue };
        let mut inner = Table::new();
        for (key, value) in source {
            let Some(text) = value.as_str() else { continue };
            match key.as_str() {
                "registry" | "git" if is_remote(text) => {
                    let address = found.address(&format!("{file}: source.{name}.{key}"), text);
                    inner.insert(key.clone(), Value::String(address));
                }
                "replace-with" if is_registry(table, text) || !local(text) => {
                    inner.insert(key.clone(), value.clone());
                }
                "branch" | "tag" | "rev" => {
                    inner.insert(key.clone(), value.clone());
                }
                _ => {}
            }
        }
        if !inner.is_empty() {
            kept.insert(name.clone(), Value::Table(inner));
        }
    }
    kept
}

/// Returns whether a name is one of `[registries]`, which can stand for a source.
fn is_registry(table: &Table, name: &str) -> bool {
    table.get("registries").and_then(|r| r.get(name)).is_some()
}

fn registries(found: &mut Collector<'_>, file: &str, table: &Table) -> Table {
    let mut kept = Table::new();
    let Some(registries) = table.get("registries").and_then(Value::as_table) else { return kept };
    for (name, registry) in registries {
        let mut inner = Table::new();
        if let Some(index) = registry.get("index").and_then(Value::as_str).filter(|i| is_remote(i)) {
            let address = found.address(&format!("{file}: registries.{name}.index"), index);
            inner.insert("index".to_owned(), Value::String(address));
        }
        if let Some(protocol) = registry.get("protocol") {
            inner.insert("protocol".to_owned(), protocol.clone());
        }
        if !inner.is_empty() {
            kept.insert(name.clone(), Value::Table(inner));
        }
    }
    kept
}
