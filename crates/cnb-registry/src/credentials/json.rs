//! JSON objects with secrets in them: what is wrong with one is said without quoting it.
//!
//! `serde` would quote the value of a wrong type; the values here are passwords.

use serde_json::{Map, Value};

/// Parses an object; `None` for `null`. The error is the reason, without any text of the document.
pub(super) fn object(bytes: &[u8]) -> Result<Option<Map<String, Value>>, String> {
    // Into a `Value`, so that all that can go wrong is syntax, whose messages are fixed texts and positions.
    match serde_json::from_slice(bytes).map_err(|e| e.to_string())? {
        Value::Object(object) => Ok(Some(object)),
        Value::Null => Ok(None),
        _ => Err("it is not a JSON object".to_owned()),
    }
}

/// Returns the key that means `name`: its case does not matter where none matches exactly, as in Go programs.
pub(super) fn key<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let alike = || object.keys().find(|key| key.eq_ignore_ascii_case(name));
    object.get_key_value(name).map(|(key, _)| key).or_else(alike).map(String::as_str)
}

fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(key(object, name)?).filter(|value| !value.is_null())
}

/// Returns the text of `name`; `None` where it is missing or empty. The error is the reason.
pub(super) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match field(object, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|t| !t.is_empty())),
        Some(_) => Err(format!("`{name}` is not a string")),
    }
}

/// Returns the object at `name`; `None` where it is missing. The error is the reason.
pub(super) fn section<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, String> {
    match field(object, name) {
        None => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(format!("`{name}` is not an object")),
    }
}
