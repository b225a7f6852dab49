//! The keys under which configuration files keep credentials: a registry in one of many spellings, or, as podman
//! has it, a namespace or repository in one.

/// Docker's name for Docker Hub, for historical reasons; every other program understands it.
pub(super) const HUB: &str = "https://index.docker.io/v1/";

/// Podman's name for Docker Hub.
pub(super) const PODMAN_HUB: &str = "docker.io";

/// The registry of Docker Hub as image references have it.
const HUB_REGISTRY: &str = cnb_spec::image_ref::DEFAULT_REGISTRY;

/// Returns what `key` stands for: `registry` or `registry/path`, spelled as in image references.
///
/// - A key with a scheme is the address of an API and stands for its registry, whatever its path.
/// - So is one that ends with `/v1/` or `/v2/`.
/// - `docker.io` and `registry-1.docker.io` are `index.docker.io`.
pub(super) fn scope(key: &str) -> String {
    let address = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let name = if let Some(address) = address {
        registry(address)
    } else {
        let api = key.strip_suffix("/v1/").or_else(|| key.strip_suffix("/v2/"));
        api.unwrap_or(key).trim_end_matches('/')
    };
    let host = registry(name);
    let path = &name[host.len()..];
    match host {
        "docker.io" | "registry-1.docker.io" => format!("{HUB_REGISTRY}{path}"),
        _ => name.to_owned(),
    }
}

/// Returns the registry of a scope.
pub(super) fn registry(scope: &str) -> &str {
    scope.split('/').next().unwrap_or_default()
}

/// Returns whether what is known for `scope` is good for `wanted`, which is a scope too.
pub(super) fn covers(scope: &str, wanted: &str) -> bool {
    wanted.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns how far `key` is from the usual spelling of its scope, 0 for not at all: where a file has several
/// spellings, the usual one counts.
pub(super) fn oddity(key: &str) -> u8 {
    match key {
        HUB => 0,
        PODMAN_HUB => 1,
        HUB_REGISTRY => 2,
        _ if scope(key) == key => 0,
        _ => 3,
    }
}

/// Returns the key under which docker keeps `registry`.
pub(super) fn of_docker(registry: &str) -> &str {
    if registry == HUB_REGISTRY { HUB } else { registry }
}

/// Returns the key under which podman keeps `registry`.
pub(super) fn of_podman(registry: &str) -> &str {
    if registry == HUB_REGISTRY { PODMAN_HUB } else { registry }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_registry_is_understood() {
        for (key, expected) in [
            ("quay.io", "quay.io"),
            ("https://quay.io", "quay.io"),
            ("http://quay.io:5000/", "quay.io:5000"),
            ("https://quay.io/v1/", "quay.io"),
            ("https://quay.io/v2/token", "quay.io"),
            ("quay.io/v1/", "quay.io"),
            ("quay.io/v2/", "quay.io"),
            ("quay.io/", "quay.io"),
            ("[::1]:5000", "[::1]:5000"),
            ("https://index.docker.io/v1/", "index.docker.io"),
            ("index.docker.io", "index.docker.io"),
            ("docker.io", "index.docker.io"),
            ("https://registry-1.docker.io/v2/", "index.docker.io"),
            ("docker.io/library/nginx", "index.docker.io/library/nginx"),
            ("quay.io/ns/v1", "quay.io/ns/v1"),
            ("", ""),
        ] {
            assert_eq!(scope(key), expected, "{key}");
        }
    }

    #[test]
    fn a_scope_covers_what_is_below_it_and_not_what_begins_alike() {
        assert!(covers("quay.io", "quay.io") && covers("quay.io", "quay.io/a/b"));
        assert!(covers("quay.io/a", "quay.io/a/b") && covers("quay.io/a/b", "quay.io/a/b"));
        assert!(!covers("quay.io", "quay.io.evil.com/a") && !covers("quay.io/a", "quay.io/ab"));
        assert!(!covers("quay.io/a", "quay.io"));
    }
}
