//! The paths of the distribution specification.

/// What a path is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v2/`
    Ping,
    /// `/v2/<name>/tags/list`
    Tags { name: String },
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest { name: String, reference: String },
    /// `/v2/<name>/blobs/<digest>`
    Blob { name: String, digest: String },
    /// `/v2/<name>/blobs/uploads/`
    Uploads { name: String },
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload { name: String, id: String },
    /// `/v2/<name>/referrers/<digest>`
    Referrers { name: String, digest: String },
}

impl Route {
    /// Reads a path; `None` where it is none of the specification's.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/v2")?;
        if path.is_empty() || path == "/" {
            return Some(Self::Ping);
        }
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let (tail, name_length) = match parts.as_slice() {
            [name @ .., "blobs", "uploads", _] | [name @ .., _, _] => (&parts[name.len()..], name.len()),
            _ => return None,
        };
        let name = parts[..name_length].join("/");
        if name.is_empty() || !name.split('/').all(is_component) {
            return None;
        }
        match *tail {
            ["blobs", "uploads", ""] | ["blobs", "uploads"] => Some(Self::Uploads { name }),
            ["blobs", "uploads", id] => Some(Self::Upload { name, id: id.to_owned() }),
            ["blobs", digest] => Some(Self::Blob { name, digest: digest.to_owned() }),
            ["manifests", reference] => Some(Self::Manifest { name, reference: reference.to_owned() }),
            ["referrers", digest] => Some(Self::Referrers { name, digest: digest.to_owned() }),
            ["tags", "list"] => Some(Self::Tags { name }),
            _ => None,
        }
    }

    /// The repository.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Ping => None,
            Self::Tags { name }
            | Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. }
            | Self::Referrers { name, .. } => Some(name),
        }
    }
}

fn is_component(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_any_number_of_parts() {
        let name = "a/b/c".to_owned();
        let digest = "sha256:1".to_owned();
        for (path, route) in [
            ("/v2/", Some(Route::Ping)),
            ("/v2/a/b/c/tags/list", Some(Route::Tags { name: name.clone() })),
            (
                "/v2/a/b/c/manifests/v1",
                Some(Route::Manifest { name: name.clone(), reference: "v1".to_owned() }),
            ),
            ("/v2/a/b/c/blobs/sha256:1", Some(Route::Blob { name: name.clone(), digest: digest.clone() })),
            ("/v2/a/b/c/blobs/uploads/", Some(Route::Uploads { name: name.clone() })),
            ("/v2/a/b/c/blobs/uploads/7", Some(Route::Upload { name: name.clone(), id: "7".to_owned() })),
            ("/v2/a/b/c/referrers/sha256:1", Some(Route::Referrers { name, digest })),
            ("/v2/A/tags/list", None),
            ("/v2/tags/list", None),
            ("/v1/", None),
        ] {
            assert_eq!(Route::parse(path), route, "{path}");
        }
    }
}
