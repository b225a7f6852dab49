//! What an engine says while it loads an image: JSON objects, one after another.

use std::io::Read;

use cnb_spec::digest::ImageId;
use serde::Deserialize;

/// How loading ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The engine's own words if it failed.
    pub(crate) error: Option<String>,
    /// The ID of an image that was loaded without a name.
    pub(crate) id: Option<ImageId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    error_detail: Option<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    message: String,
}

/// Reads all messages; the first failure counts.
pub(crate) fn read(answer: &mut dyn Read) -> serde_json::Result<Outcome> {
    let mut outcome = Outcome::default();
    for message in serde_json::Deserializer::from_reader(answer).into_iter::<Message>() {
        let Message { stream, error, error_detail } = message?;
        let error = error.or_else(|| error_detail.map(|detail| detail.message)).filter(|e| !e.is_empty());
        outcome.error = outcome.error.or(error);
        let id = stream.as_deref().and_then(|s| s.trim().strip_prefix("Loaded image ID: ")?.parse().ok());
        outcome.id = outcome.id.or(id);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_among_the_messages_counts() {
        let text = concat!(
            r#"{"status":"Loading layer","progressDetail":{"current":1,"total":2},"progress":"[>]","id":"5f70"}"#,
            "\r\n",
            r#"{"errorDetail":{"code":1,"message":"no space left"},"error":"no space left on device"}"#,
            r#"{"errorDetail":{"message":"second"}}"#,
        );
        let outcome = read(&mut text.as_bytes()).unwrap();
        assert_eq!(outcome.error.as_deref(), Some("no space left on device"));
        let outcome = read(&mut r#"{"errorDetail":{"message":"second"}}"#.as_bytes()).unwrap();
        assert_eq!(outcome.error.as_deref(), Some("second"));
    }

    #[test]
    fn an_image_without_a_name_is_known_by_its_id() {
        let id = format!("sha256:{}", "ab".repeat(32));
        let text = format!(
            "{{\"stream\":\"Loaded image: app:v1\\n\"}}\n{{\"stream\":\"Loaded image ID: {id}\\n\"}}\n"
        );
        let outcome = read(&mut text.as_bytes()).unwrap();
        assert_eq!((outcome.error, outcome.id), (None, id.parse().ok()));
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        assert!(read(&mut "<html>".as_bytes()).is_err());
    }
}
