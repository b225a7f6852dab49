//! TOML exactly as the Go lifecycle writes it (requirements A5 to A9, A37).
//!
//! `metadata.toml` lies in a layer of the app image, so its bytes are part of the image's identity.

use std::fmt::Write;

use toml::Value;

/// A value with the order of its keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A text, escaped as TOML.
    Text(String),
    /// A list of texts, escaped as JSON: how Go writes `command` (requirement A37).
    JsonList(Vec<String>),
    /// A single text, escaped as JSON: `command` before Platform API 0.10 (requirement A38).
    JsonText(String),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A date or time, in its own form.
    Datetime(String),
    /// A list.
    List(Vec<Node>),
    /// A table, keys in writing order.
    Table(Table),
}

/// A table under construction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(Vec<(String, Node)>);

impl Table {
    /// Makes an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Node>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }

    /// Adds a key unless its value is absent: Go's nil.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<impl Into<Node>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds a text unless it is empty: Go's `omitempty`.
    #[must_use]
    pub fn with_text(self, key: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(key, value) }
    }

    /// Adds an array of tables unless it is empty: Go writes nothing for a nil slice.
    #[must_use]
    pub fn with_tables(self, key: &str, tables: impl IntoIterator<Item = Table>) -> Self {
        let tables: Vec<Node> = tables.into_iter().map(Node::Table).collect();
        if tables.is_empty() { self } else { self.with(key, Node::List(tables)) }
    }

    /// Returns whether no key was added.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes the document.
    pub fn write(&self) -> String {
        let mut out = String::new();
        write_table(&mut out, self, &mut Vec::new());
        out
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Node {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<Table> for Node {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl<T: Into<Node> + Clone> From<&[T]> for Node {
    fn from(items: &[T]) -> Self {
        Self::List(items.iter().cloned().map(Into::into).collect())
    }
}

impl From<&toml::Table> for Table {
    fn from(table: &toml::Table) -> Self {
        Self(table.iter().map(|(k, v)| (k.clone(), Node::from(v))).collect())
    }
}

impl From<&toml::Table> for Node {
    fn from(table: &toml::Table) -> Self {
        Self::Table(table.into())
    }
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        match value {
            Value::String(s) => Self::Text(s.clone()),
            Value::Integer(i) => Self::Integer(*i),
            Value::Float(f) => Self::Float(*f),
            Value::Boolean(b) => Self::Bool(*b),
            Value::Datetime(d) => Self::Datetime(d.to_string()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Table(table) => Self::Table(table.into()),
        }
    }
}

/// Whether a value is written under a header of its own.
fn is_section(node: &Node) -> bool {
    match node {
        Node::Table(_) => true,
        Node::List(items) => !items.is_empty() && items.iter().all(|i| matches!(i, Node::Table(_))),
        _ => false,
    }
}

fn write_table(out: &mut String, table: &Table, path: &mut Vec<String>) {
    let indent = "  ".repeat(path.len());
    for (key, value) in table.0.iter().filter(|(_, v)| !is_section(v)) {
        let _ = write!(out, "{indent}{} = ", bare_or_quoted(key));
        write_value(out, value);
        out.push('\n');
    }
    for (key, value) in table.0.iter().filter(|(_, v)| is_section(v)) {
        path.push(bare_or_quoted(key));
        let indent = "  ".repeat(path.len() - 1);
        let name = path.join(".");
        match value {
            Node::Table(inner) => {
                if path.len() == 1 && !out.is_empty() {
                    out.push('\n');
                }
                let _ = writeln!(out, "{indent}[{name}]");
                write_table(out, inner, path);
            }
            Node::List(items) => {
                for item in items {
                    if !out.is_empty() {
                        out.push('\n');
                    }
                    let _ = writeln!(out, "{indent}[[{name}]]");
                    if let Node::Table(inner) = item {
                        write_table(out, inner, path);
                    }
                }
            }
            _ => {}
        }
        path.pop();
    }
}

fn write_value(out: &mut String, value: &Node) {
    match value {
        Node::Text(s) => out.push_str(&quoted(s)),
        Node::JsonText(s) => out.push_str(&json(s)),
        Node::JsonList(items) => {
            let items: Vec<String> = items.iter().map(|s| json(s)).collect();
            let _ = write!(out, "[{}]", items.join(", "));
        }
        Node::Integer(i) => {
            let _ = write!(out, "{i}");
        }
        Node::Float(f) => out.push_str(&float(*f)),
        Node::Bool(b) => {
            let _ = write!(out, "{b}");
        }
        Node::Datetime(d) => out.push_str(d),
        Node::List(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                write_value(out, item);
            }
            out.push(']');
        }
        Node::Table(table) => {
            out.push('{');
            for (n, (key, item)) in table.0.iter().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                let _ = write!(out, "{} = ", bare_or_quoted(key));
                write_value(out, item);
            }
            out.push('}');
        }
    }
}

fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { key.to_owned() } else { quoted(key) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn json(text: &str) -> String {
    // A text always has a JSON form; the fall-back keeps this function total.
    crate::gojson::to_string(text).unwrap_or_else(|_| quoted(text))
}

fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    // Go's `%g` switches to exponents by the number of digits it needs: at 1e21 and below 1e-4.
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        if let Some((digits, exponent)) = text.split_once('e') {
            let (sign, number) = exponent.strip_prefix('-').map_or(("+", exponent), |n| ("-", n));
            return format!("{digits}e{sign}{number:0>2}");
        }
    }
    let text = format!("{value}");
    if text.contains('.') { text } else { format!("{text}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(table: &Table, expected: &str) {
        assert_eq!(table.write(), expected);
    }

    #[test]
    fn keys_come_before_tables_and_tables_are_indented_by_depth() {
        let table = Table::new()
            .with("t", Table::new().with("inner", Table::new().with("x", 1)).with("k", "v"))
            .with("top", true)
            .with_tables("l", [Table::new().with("a", 1), Table::new()]);
        check(&table, "top = true\n\n[t]\n  k = \"v\"\n  [t.inner]\n    x = 1\n\n[[l]]\n  a = 1\n\n[[l]]\n");
    }

    #[test]
    fn nested_arrays_of_tables_have_a_blank_line_before() {
        let table =
            Table::new().with_tables("e", [Table::new().with_tables("p", [Table::new().with("id", "x")])]);
        check(&table, "[[e]]\n\n  [[e.p]]\n    id = \"x\"\n");
    }

    #[test]
    fn lists_of_mixed_things_are_inline() {
        let value: toml::Table =
            toml::from_str("a = [1, {b = 2, c = [3.0, 1e21, 1e-7]}]\n'odd key' = []").unwrap();
        check(&(&value).into(), "a = [1, {b = 2, c = [3.0, 1e+21, 1e-07]}]\n\"odd key\" = []\n");
    }

    #[test]
    fn texts_are_escaped_as_toml_and_commands_as_json() {
        let table =
            Table::new().with("t", "a && \u{7f}\u{1}").with("c", Node::JsonList(vec!["a && b".into()]));
        check(&table, "t = \"a && \\u007f\\u0001\"\nc = [\"a \\u0026\\u0026 b\"]\n");
    }
}
