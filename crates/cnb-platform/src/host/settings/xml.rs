//! As much XML as a Maven settings file has: elements and text; attributes and comments are skipped.
//!
//! Text stays as it is written, entities included, since it is only written again. There is no document type
//! and so nothing to expand.

/// An element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Its name, without a namespace prefix.
    pub(super) name: String,
    /// The text directly in it.
    pub(super) text: String,
    children: Vec<Element>,
}

impl Element {
    /// Returns the elements of that name directly in this one.
    pub(super) fn children<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element> {
        self.children.iter().filter(move |c| c.name == name)
    }
}

/// Deeper than any settings file; the text is not trusted to be one.
const DEPTH: usize = 64;

/// Reads a document; the error says what is wrong.
pub(super) fn parse(text: &str) -> Result<Element, String> {
    let mut open: Vec<Element> = vec![Element::default()];
    let mut rest = text;
    let line = |rest: &str| text[..text.len() - rest.len()].matches('\n').count() + 1;
    while let Some((before, after)) = rest.split_once('<') {
        if let Some(current) = open.last_mut() {
            current.text.push_str(before);
        }
        let broken = |what: &str| format!("line {}: {what}", line(after));
        if let Some(after) = after.strip_prefix("!--") {
            rest = after.split_once("-->").ok_or_else(|| broken("a comment does not end"))?.1;
        } else if let Some(after) = after.strip_prefix("![CDATA[") {
            let (data, after) =
                after.split_once("]]>").ok_or_else(|| broken("a CDATA section does not end"))?;
            if let Some(current) = open.last_mut() {
                current.text.push_str(&data.replace('&', "&amp;").replace('<', "&lt;"));
            }
            rest = after;
        } else {
            let (tag, after) = after.split_once('>').ok_or_else(|| broken("a tag does not end"))?;
            rest = after;
            match tag.as_bytes().first() {
                Some(b'?') => {}
                Some(b'!') => return Err(broken("a document type is not read")),
                Some(b'/') => {
                    let closed = open.pop().unwrap_or_default();
                    let parent = open.last_mut().ok_or_else(|| broken("an end tag has no start tag"))?;
                    if closed.name != local(&tag[1..]) {
                        return Err(broken(&format!("`<{tag}>` ends `<{}>`", closed.name)));
                    }
                    parent.children.push(closed);
                }
                _ => {
                    let empty = tag.ends_with('/');
                    let name = local(tag.trim_end_matches('/'));
                    let element = Element { name: name.to_owned(), ..Element::default() };
                    if open.len() >= DEPTH {
                        return Err(broken("it is nested too deeply"));
                    }
                    match open.last_mut() {
                        Some(parent) if empty => parent.children.push(element),
                        _ => open.push(element),
                    }
                }
            }
        }
    }
    let mut document = open.pop().unwrap_or_default();
    if !open.is_empty() {
        return Err(format!("`<{}>` does not end", document.name));
    }
    document.children.pop().ok_or_else(|| "there is no element in it".to_owned())
}

fn local(tag: &str) -> &str {
    let name = tag.split_whitespace().next().unwrap_or_default();
    name.rsplit(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_nest_and_comments_and_attributes_are_skipped() {
        let root = parse("<?xml version='1.0'?><a x='1'><!-- <b> --><n:b>t&amp;<![CDATA[<]]></n:b><c/></a>");
        let root = root.unwrap();
        assert_eq!(root.name, "a");
        assert_eq!(root.children("b").next().unwrap().text, "t&amp;&lt;");
        assert_eq!(root.children("c").count(), 1);
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse(text).unwrap_err(), expected);
    }

    #[test]
    fn broken_documents_are_refused_with_the_line() {
        check("<a>\n</b>", "line 2: `</b>` ends `<a>`");
        check("<a>", "`<a>` does not end");
        check("</a></a>", "line 1: an end tag has no start tag");
        check("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "line 1: a document type is not read");
        check("", "there is no element in it");
        check(&"<a>".repeat(100), "line 1: it is nested too deeply");
    }
}
