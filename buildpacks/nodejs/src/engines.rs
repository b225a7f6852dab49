//! What the packages demand of Node.js, for apps that leave the choice to the machine that builds.
//!
//! Lock files of npm and pnpm say it before anything is installed; otherwise the installed packages do.

use std::path::Path;

use cnb_buildpack::{BuildContext, Failure, tree};

use crate::fetch;
use crate::lock::Lock;
use crate::manager::Manager;
use crate::modules::DIR;
use crate::package::Package;
use crate::range::{Range, Version};
use crate::runtime::{self, Host};

/// The entry in the metadata of a fetched runtime that names the packages it was chosen for.
pub(crate) const CHOSEN_FOR: &str = "packages";

/// A version that packages need where this machine's own does not serve them.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// The version to fetch.
    pub(crate) version: Version,
    /// Names the packages that were looked at.
    pub(crate) packages: String,
}

/// What decides which packages there are.
pub(crate) fn key(app: &Path, package: &Package, manager: &Manager) -> String {
    let lock = manager.lock.and_then(|name| fs_err::read(app.join(name)).ok()).unwrap_or_default();
    tree::Key::default().with("package.json", package.dependency_fields()).with("lock", lock).finish()
}

/// Returns the demand that an earlier build found for the same packages.
pub(crate) fn remembered(cx: &BuildContext, key: &str) -> Option<Demand> {
    let restored = cx.restored_metadata(runtime::LAYER);
    let text = |name: &str| restored.get(name).and_then(toml::Value::as_str);
    let version = Version::parse(text("version")?).filter(|_| text(CHOSEN_FOR) == Some(key))?;
    Some(Demand { version, packages: key.to_owned() })
}

/// Reads what the packages in a lock file demand; nothing where it does not say so.
pub(crate) fn in_lock(app: &Path, manager: &Manager) -> Vec<Range> {
    match manager.lock {
        Some("pnpm-lock.yaml") => {
            in_pnpm_lock(&fs_err::read_to_string(app.join("pnpm-lock.yaml")).unwrap_or_default())
        }
        Some(name) if crate::lock::OWN.contains(&name) => Lock::read(&app.join(name)).engines(),
        _ => Vec::new(),
    }
}

fn in_pnpm_lock(text: &str) -> Vec<Range> {
    let node = |line: &str| {
        let (_, rest) = line.trim().strip_prefix("engines:")?.split_once("node:")?;
        let rest = rest.trim_start();
        let range = match rest.chars().next()? {
            quote @ ('\'' | '"') => rest[1..].split(quote).next(),
            _ => rest.split([',', '}']).next(),
        };
        Range::parse(range?.trim())
    };
    text.lines().filter_map(node).collect()
}

/// Reads what the packages in a layer demand.
pub(crate) fn installed(layer: &Path) -> Vec<Range> {
    let mut found = Vec::new();
    below(&layer.join(DIR), &mut found);
    found
}

fn below(folder: &Path, found: &mut Vec<Range>) {
    // What cannot be read demands nothing.
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b"@") {
            below(&entry.path(), found);
        } else if let Ok(package) = Package::read(&entry.path()) {
            found.extend(package.engine().and_then(Range::parse));
        }
    }
}

/// Returns the version to fetch, where this machine's own serves fewer of the packages than another that the app
/// allows: of those that serve most, the one nearest to it.
pub(crate) fn better(
    cx: &BuildContext,
    package: &Package,
    demands: &[Range],
    key: &str,
) -> Result<Option<Demand>, Failure> {
    let unmet = |version: Version| demands.iter().filter(|range| !range.contains(version)).count();
    let Some(host) = runtime::host(cx)?.filter(|h| unmet(h.version) > 0) else { return Ok(None) };
    let wish = runtime::wishes(&cx.app_dir, &cx.env, package).into_iter().flatten().next();
    let allowed = Range::parse(wish.as_ref().map_or("*", |wish| &wish.version));
    let Some(allowed) = allowed.filter(|a| a.contains(host.version)) else { return Ok(None) };
    // Without a registry there is no choice, and what cannot be installed says so itself.
    let Ok(versions) = fetch::registry_versions(cx, Some(&host)) else { return Ok(None) };
    let best = nearest(&host, &allowed, versions, &unmet);
    if let Some(version) = best {
        cx.log.step(format!(
            "{} of the packages do not run with Node.js {} of this machine; {version} is taken",
            unmet(host.version),
            host.version
        ));
    }
    Ok(best.map(|version| Demand { version, packages: key.to_owned() }))
}

fn nearest(
    host: &Host,
    allowed: &Range,
    mut versions: Vec<Version>,
    unmet: &dyn Fn(Version) -> usize,
) -> Option<Version> {
    // Lines with long-term support have even numbers.
    versions.retain(|v| v.0 > host.version.0 && v.0 % 2 == 0 && allowed.contains(*v));
    versions.sort_unstable_by(|a, b| (a.0, b).cmp(&(b.0, a)));
    versions.dedup_by_key(|v| v.0);
    let best = versions.into_iter().min_by_key(|v| unmet(*v))?;
    (unmet(best) < unmet(host.version)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::{Host, Range, Version, in_pnpm_lock, nearest};

    /// The version that is taken, where this machine has 20.20.2.
    fn taken(demands: &[&str], allowed: &str) -> Option<Version> {
        let demands: Vec<Range> = demands.iter().map(|d| Range::parse(d).unwrap()).collect();
        let host = Host { node: "node".into(), version: Version(20, 20, 2) };
        let versions = [(22, 1, 0), (22, 21, 1), (23, 9, 0), (24, 11, 0)];
        let versions = versions.into_iter().map(|(a, b, c)| Version(a, b, c)).collect();
        let unmet = |v: Version| demands.iter().filter(|d| !d.contains(v)).count();
        nearest(&host, &Range::parse(allowed).unwrap(), versions, &unmet)
    }

    #[test]
    fn the_nearest_line_that_serves_most_packages_is_taken() {
        assert_eq!(taken(&["^22.18.0 || >=24"], "*"), Some(Version(22, 21, 1)));
        assert_eq!(taken(&[">=23", ">=18"], "*"), Some(Version(24, 11, 0)));
        assert_eq!(taken(&[">=22", "<21"], "*"), None);
        assert_eq!(taken(&[">=22"], "^20"), None);
    }

    #[test]
    fn pnpm_lock_files_say_what_packages_demand() {
        let lock =
            "  a@1.0.0:\n    engines: {node: '>=22', npm: '>=6'}\n  b@1.0.0:\n    engines: {node: 20}\n";
        let found = in_pnpm_lock(lock);
        assert_eq!(found, [Range::parse(">=22").unwrap(), Range::parse("20").unwrap()]);
    }
}
