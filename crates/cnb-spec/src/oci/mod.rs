//! OCI and Docker image documents with the key order that the Go programs write.
//!
//! Config bytes decide an image's ID, so they are written exactly as Go writes them (requirements E22 to
//! E24 and E37): struct order, empty values left out, maps sorted. Reading is lenient in the way Go's
//! decoder is: `null` counts as absent, unknown keys are dropped (E23).

pub mod config;
pub mod manifest;
pub mod time;

pub use config::{Healthcheck, History, ImageConfig, RootFs, RuntimeConfig};
pub use manifest::{Descriptor, Index, Manifest, Platform};

use serde::{Deserialize, Deserializer};

/// Reads a value for which `null` means the same as leaving the key out.
fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Sets that are written as a map to empty objects.
mod set {
    use std::collections::{BTreeMap, BTreeSet};

    use serde::de::IgnoredAny;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize)]
    struct Empty {}

    pub(super) fn serialize<S: Serializer>(set: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(set.iter().map(|key| (key, Empty {})))
    }

    #[expect(clippy::zero_sized_map_values, reason = "the values are of no interest, but they are there")]
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let map: Option<BTreeMap<String, IgnoredAny>> = Option::deserialize(deserializer)?;
        Ok(map.unwrap_or_default().into_keys().collect())
    }
}
