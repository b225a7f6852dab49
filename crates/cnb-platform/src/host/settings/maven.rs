//! Maven: mirrors and proxies of `settings.xml`, without servers, users and passwords.

use super::Collector;
use super::address::is_remote;
use super::xml::{self, Element};

/// What is kept of a mirror and of a proxy; `url` is an address.
const MIRROR: [&str; 7] = ["id", "name", "url", "mirrorOf", "layout", "mirrorOfLayouts", "blocked"];
const PROXY: [&str; 6] = ["id", "active", "protocol", "host", "port", "nonProxyHosts"];

pub(super) fn collect(found: &mut Collector<'_>) {
    let file = found.home(".m2/settings.xml");
    let Some(text) = found.read(&file) else { return };
    let settings = match xml::parse(&text) {
        Ok(settings) => settings,
        Err(reason) => return found.leave_out(&file, reason),
    };
    let name = file.display().to_string();
    let mut out = String::new();
    for (group, item, keys) in [("mirrors", "mirror", MIRROR.as_slice()), ("proxies", "proxy", &PROXY)] {
        let mut items = String::new();
        for element in settings.children(group).flat_map(|g| g.children(item)) {
            items += &keep(found, &name, element, item, keys).unwrap_or_default();
        }
        if !items.is_empty() {
            out.extend(["  <", group, ">\n", &items, "  </", group, ">\n"]);
        }
    }
    if !out.is_empty() {
        found.file("/home/cnb/.m2/settings.xml", format!("<settings>\n{out}</settings>\n"));
    }
}

fn keep(
    found: &mut Collector<'_>,
    file: &str,
    element: &Element,
    item: &str,
    keys: &[&str],
) -> Option<String> {
    let mut out = format!("    <{item}>\n");
    for key in keys {
        let Some(value) = element.children(key).next() else { continue };
        let value = value.text.trim();
        let value = if *key == "url" {
            if !is_remote(value) {
                return None;
            }
            found.address(&format!("{file}: {item}"), value)
        } else {
            value.to_owned()
        };
        out.extend(["      <", key, ">", &value, "</", key, ">\n"]);
    }
    Some(out + &format!("    </{item}>\n"))
}
