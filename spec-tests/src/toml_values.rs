//! TOML files compared by value, without what may rightly differ.

use std::collections::BTreeSet;
use std::path::Path;

use fs_err as fs;
use regex::{Captures, Regex};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Hides the digests and sizes of manifests, which follow from compressed bytes; those of base images, which were
/// given, are known and stay. `3` equals `3.0`.
#[derive(Clone, Debug)]
pub struct Masks {
    known: BTreeSet<String>,
    pinned: Regex,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Manifest>,
}

#[derive(Deserialize)]
struct Manifest {
    digest: String,
}

impl Masks {
    /// Reads the digests of the images in `<suite>/base`.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read(suite: &Path) -> std::io::Result<Self> {
        let mut known = BTreeSet::new();
        for entry in fs::read_dir(suite.join("base"))? {
            let index = entry?.path().join("index.json");
            if index.is_file() {
                let index: Index = serde_json::from_str(&fs::read_to_string(index)?)?;
                known.extend(index.manifests.into_iter().take(1).map(|manifest| manifest.digest));
            }
        }
        Ok(Self::new(known))
    }

    fn new(known: BTreeSet<String>) -> Self {
        let pinned = Regex::new("@(sha256:[0-9a-f]{64})").expect("the expression is well-formed");
        Self { known, pinned }
    }

    /// Reads a TOML file as a value that equals another exactly if the files may pass for each other.
    ///
    /// # Errors
    /// If it is no TOML file: what is wrong, on one line.
    pub fn value(&self, bytes: &[u8]) -> Result<Value, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        let table: toml::Table = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        Ok(self.masked(&toml::Value::Table(table), ""))
    }

    fn masked(&self, value: &toml::Value, key: &str) -> Value {
        match value {
            toml::Value::Table(table) => {
                let members = table.iter().map(|(key, value)| (key.clone(), self.masked(value, key)));
                Value::Object(members.collect::<Map<_, _>>())
            }
            toml::Value::Array(values) => values.iter().map(|value| self.masked(value, key)).collect(),
            toml::Value::Integer(_) if key == "manifest-size" => json!("SIZE"),
            #[expect(
                clippy::cast_precision_loss,
                reason = "an integer equals a number with a fraction of zero"
            )]
            toml::Value::Integer(number) => json!(*number as f64),
            toml::Value::Float(number) if number.is_finite() => json!(number),
            toml::Value::Float(number) => json!({ "float": number.to_string() }),
            toml::Value::Boolean(value) => json!(value),
            toml::Value::Datetime(time) => json!({ "time": time.to_string() }),
            toml::Value::String(text) => json!(self.masked_text(text, key)),
        }
    }

    fn masked_text(&self, text: &str, key: &str) -> String {
        if key == "digest" && text.starts_with("sha256:") && !self.known.contains(text) {
            return "sha256:MANIFEST".to_owned();
        }
        let mask = |found: &Captures<'_>| {
            if self.known.contains(&found[1]) { found[0].to_owned() } else { "@sha256:MANIFEST".to_owned() }
        };
        self.pinned.replace_all(text, mask).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, b: &str, equal: bool) {
        let known = format!("sha256:{}", "0".repeat(64));
        let masks = Masks::new(BTreeSet::from([known]));
        let (a, b) = (masks.value(a.as_bytes()).unwrap(), masks.value(b.as_bytes()).unwrap());
        assert_eq!(a == b, equal, "{a} {b}");
    }

    #[test]
    fn values_are_compared_and_not_how_they_are_written() {
        check("a = 3\nb = 'x'", "b = \"x\"\na = 3.0", true);
        check("a = 3", "a = '3'", false);
        check("a = 3", "a = 3\nb = 1", false);
        check("a = [1, 2]", "a = [2, 1]", false);
        check("a = true", "a = 1", false);
        check("a = 2020-01-01", "a = '2020-01-01'", false);
    }

    #[test]
    fn manifests_may_differ_but_for_the_base_images() {
        let (zero, one, two) = ("0".repeat(64), "1".repeat(64), "2".repeat(64));
        check(&format!("digest = 'sha256:{one}'"), &format!("digest = 'sha256:{two}'"), true);
        check(&format!("digest = 'sha256:{zero}'"), &format!("digest = 'sha256:{two}'"), false);
        check(&format!("ref = 'a@sha256:{one}'"), &format!("ref = 'a@sha256:{two}'"), true);
        check(&format!("ref = 'a@sha256:{zero}'"), &format!("ref = 'a@sha256:{two}'"), false);
        check(&format!("ref = 'a@sha256:{one}'"), &format!("ref = 'b@sha256:{two}'"), false);
        check(&format!("sha = 'sha256:{one}'"), &format!("sha = 'sha256:{two}'"), false);
        check("manifest-size = 1", "manifest-size = 2", true);
    }

    #[test]
    fn what_is_no_toml_is_said_on_one_line() {
        let error = Masks::new(BTreeSet::new()).value(b"a = [\n").unwrap_err();
        assert!(!error.contains('\n'), "{error}");
    }
}
