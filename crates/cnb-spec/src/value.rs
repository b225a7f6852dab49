//! Free-form metadata: written by buildpacks as TOML, kept in image labels as JSON, given back as TOML.

use serde_json::Value as Json;
use toml::Value as Toml;

/// A free-form table; keys are sorted.
pub type Metadata = toml::Table;

/// Why a JSON value cannot be written as TOML: an array holds `null` (requirement A10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot encode array with nil element")]
pub struct NullInArray;

/// Returns `value` as JSON: datetimes become text, since JSON has none (requirement E9).
pub fn to_json(value: &Toml) -> Json {
    match value {
        Toml::String(s) => Json::String(s.clone()),
        Toml::Integer(i) => Json::from(*i),
        // JSON has no infinities and no NaN; Go refuses them, `null` loses only the value.
        Toml::Float(f) => serde_json::Number::from_f64(*f).map_or(Json::Null, Json::Number),
        Toml::Boolean(b) => Json::Bool(*b),
        Toml::Datetime(d) => Json::String(datetime(d)),
        Toml::Array(items) => Json::Array(items.iter().map(to_json).collect()),
        Toml::Table(table) => table_to_json(table),
    }
}

/// Returns a TOML date or time as Go's decoder gives it, with UTC as the local time zone (requirement J34).
fn datetime(value: &toml::value::Datetime) -> String {
    let date = value.date.map_or_else(|| "0000-01-01".to_owned(), |d| d.to_string());
    let time = value.time.map_or_else(|| "00:00:00".to_owned(), |t| t.to_string());
    let offset = value.offset.map_or_else(|| "Z".to_owned(), |o| o.to_string());
    format!("{date}T{time}{offset}")
}

/// Returns `table` as a JSON object.
pub fn table_to_json(table: &Metadata) -> Json {
    Json::Object(table.iter().map(|(k, v)| (k.clone(), to_json(v))).collect())
}

/// Returns `value` as TOML; `None` for `null`. Integers stay integers (Δ35).
pub fn from_json(value: &Json) -> Result<Option<Toml>, NullInArray> {
    Ok(Some(match value {
        Json::Null => return Ok(None),
        Json::Bool(b) => Toml::Boolean(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Toml::Float(n.as_f64().unwrap_or(0.0)), Toml::Integer),
        Json::String(s) => Toml::String(s.clone()),
        Json::Array(items) => {
            let items = items.iter().map(|i| from_json(i)?.ok_or(NullInArray));
            Toml::Array(items.collect::<Result<_, _>>()?)
        }
        Json::Object(map) => {
            let mut table = Metadata::new();
            for (key, value) in map {
                if let Some(value) = from_json(value)? {
                    table.insert(key.clone(), value);
                }
            }
            Toml::Table(table)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive_the_way_through_a_label() {
        let table: Metadata = toml::from_str("big = 9007199254740993\nf = 1.5\n[t]\na = ['x']").unwrap();
        let back = from_json(&table_to_json(&table)).unwrap();
        assert_eq!(back, Some(Toml::Table(table)));
    }

    #[test]
    fn dates_and_times_are_whole_in_json() {
        let table: Metadata = toml::from_str(
            "a = 1979-05-27\nb = 07:32:00\nc = 1979-05-27T07:32:00\nd = 1979-05-27T07:32:00.5+02:00",
        )
        .unwrap();
        let json = table_to_json(&table);
        assert_eq!(json["a"], "1979-05-27T00:00:00Z");
        assert_eq!(json["b"], "0000-01-01T07:32:00Z");
        assert_eq!(json["c"], "1979-05-27T07:32:00Z");
        assert_eq!(json["d"], "1979-05-27T07:32:00.5+02:00");
    }

    #[test]
    fn null_is_dropped_from_tables_and_refused_in_arrays() {
        let json = serde_json::json!({"a": null, "b": 1});
        assert_eq!(from_json(&json).unwrap().unwrap().to_string(), "{ b = 1 }");
        assert_eq!(from_json(&serde_json::json!({"a": [null]})), Err(NullInArray));
    }
}
