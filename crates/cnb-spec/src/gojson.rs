//! JSON exactly as Go's `encoding/json` writes it (requirement E9).
//!
//! Labels and image configs are hashed, so the bytes matter: `<`, `>`, `&`, U+2028 and U+2029 are escaped,
//! and floats have Go's form.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// Returns `value` as compact JSON in Go's form.
///
/// # Errors
/// When a map has keys that are no text; no type of this crate does.
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Go))?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// Returns a float in Go's shortest form: no `.0`, exponents below 1e-6 and from 1e21 on.
pub fn float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    format!("{value}")
}

struct Go;

impl Formatter for Go {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(float(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut chars = from.chars();
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(to_string(text).unwrap(), expected);
    }

    #[test]
    fn what_go_escapes_is_escaped() {
        check("a && <b>", r#""a \u0026\u0026 \u003cb\u003e""#);
        check("\u{2028}\u{7f}é\u{1}", "\"\\u2028\u{7f}é\\u0001\"");
        check("\"\\\n\t\r\u{8}\u{c}", r#""\"\\\n\t\r\b\f""#);
    }

    #[test]
    fn floats_have_gos_form() {
        for (value, expected) in [
            (3.0, "3"),
            (1.5, "1.5"),
            (1e21, "1e+21"),
            (1e20, "100000000000000000000"),
            (1e-7, "1e-7"),
            (-2.5e30, "-2.5e+30"),
            (0.0, "0"),
        ] {
            assert_eq!(float(value), expected);
        }
    }
}
