//! The entries of a layer as lines of text, so that a difference can be read.
//!
//! `  <type><mode> <uid>:<gid> <uname>:<gname> <mtime> <size> <name>[ -> <target>][ <sha256>][ <record>=<value>…]`,
//! where the mode is octal, the sha256 the first 12 digits of a regular file's, and the records are the PAX
//! records that the other columns do not show. Names keep their bytes.

use std::collections::BTreeMap;
use std::io::{Error, Read, Write};

use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType};

use super::dump::hex;

/// The records that have a column of their own.
const SHOWN: &[&[u8]] = &[b"path", b"linkpath", b"mtime", b"size"];

/// PAX records by their key.
type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Appends a line for each entry of an uncompressed tar stream.
pub(super) fn list(tar: &[u8], to: &mut Vec<u8>) -> std::io::Result<()> {
    let (mut for_all, mut for_next) = (Records::new(), Records::new());
    // Raw, since the reader takes a line end within a record for the record's end.
    for entry in Archive::new(tar).entries()?.raw(true) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let text = |key: &str, entry: &mut Entry<'_, _>| {
            let mut bytes = all(entry)?;
            bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
            Ok::<_, Error>(Records::from([(key.as_bytes().to_vec(), bytes)]))
        };
        match kind {
            EntryType::XGlobalHeader => for_all.extend(records(&all(&mut entry)?)?),
            EntryType::XHeader => for_next.extend(records(&all(&mut entry)?)?),
            EntryType::GNULongName => for_next.extend(text("path", &mut entry)?),
            EntryType::GNULongLink => for_next.extend(text("linkpath", &mut entry)?),
            _ => {
                let mut records = for_all.clone();
                records.append(&mut for_next);
                line(&mut entry, &records, to)?;
            }
        }
    }
    Ok(())
}

fn line(entry: &mut Entry<'_, &[u8]>, records: &Records, to: &mut Vec<u8>) -> std::io::Result<()> {
    let header = entry.header().clone();
    let kind = header.entry_type();
    let record = |key: &str| records.get(key.as_bytes()).map(Vec::as_slice);
    let number = |key: &str, or: u64| {
        let text = record(key).and_then(|value| std::str::from_utf8(value).ok());
        // Of a time with fractions, the seconds.
        text.map_or_else(|| or.to_string(), |text| text.split('.').next().unwrap_or(text).to_owned())
    };
    let (mode, size) = (header.mode()?, header.entry_size()?);
    let (uid, gid) = (number("uid", header.uid()?), number("gid", header.gid()?));
    let mtime = number("mtime", header.mtime()?);
    write!(to, "  {}{mode:05o} {uid}:{gid} ", letter(kind))?;
    to.extend(record("uname").or(header.username_bytes()).unwrap_or_default());
    to.push(b':');
    to.extend(record("gname").or(header.groupname_bytes()).unwrap_or_default());
    write!(to, " {mtime} {size} ")?;
    let own = header.path_bytes();
    let name = record("path").unwrap_or(&own);
    let end = name.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    to.extend(if kind.is_dir() || record("path").is_some() { &name[..end] } else { name });
    let own = header.link_name_bytes();
    if let Some(target) = record("linkpath").or(own.as_deref()).filter(|target| !target.is_empty()) {
        to.extend(b" -> ");
        to.extend(target);
    }
    if kind.is_file() {
        write!(to, " {}", &hex(&Sha256::digest(all(entry)?))[..12])?;
    }
    for (key, value) in records.iter().filter(|(key, _)| !SHOWN.contains(&key.as_slice())) {
        to.push(b' ');
        to.extend(key);
        to.push(b'=');
        to.extend(quoted(value));
    }
    to.push(b'\n');
    Ok(())
}

fn all(entry: &mut Entry<'_, &[u8]>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    if bytes.len() as u64 == entry.header().entry_size()? {
        return Ok(bytes);
    }
    Err(Error::other("a layer ends within an entry"))
}

/// Reads PAX records: `<length> <key>=<value>\n`, where the length is that of the whole record.
fn records(mut bytes: &[u8]) -> std::io::Result<Records> {
    let mut records = Records::new();
    while !bytes.is_empty() {
        let (record, rest) =
            first_record(bytes).ok_or_else(|| Error::other("a layer has a bad PAX record"))?;
        let (key, value) = record;
        records.insert(key.to_vec(), value.to_vec());
        bytes = rest;
    }
    Ok(records)
}

type Record<'a> = (&'a [u8], &'a [u8]);

fn first_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some(((&record[..equals], &record[equals + 1..]), &bytes[length..]))
}

fn letter(kind: EntryType) -> char {
    match kind.as_byte() {
        b'0' => '-',
        b'5' => 'd',
        b'2' => 'l',
        b'1' => 'h',
        b'3' => 'c',
        b'4' => 'b',
        b'6' => 'p',
        _ => '?',
    }
}

/// Returns a record's value in quotes, with escapes for what is no text.
fn quoted(value: &[u8]) -> Vec<u8> {
    let quote = if value.contains(&b'\'') && !value.contains(&b'"') { '"' } else { '\'' };
    let mut text = String::from(quote);
    for chunk in value.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                c if c == quote => text.extend(['\\', c]),
                c if c.is_ascii_control() => text.extend(["\\x", &hex(c.to_string().as_bytes())]),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.extend(["\\udc", &hex(&[*byte])]);
        }
    }
    text.push(quote);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    fn header(kind: EntryType, name: &str, mode: u32, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_path(name).unwrap();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(1);
        header.set_gid(2);
        header.set_mtime(315_532_801);
        header.set_size(size);
        header.set_cksum();
        header
    }

    #[test]
    fn each_entry_is_a_line_with_all_that_counts() {
        let mut tar = Builder::new(Vec::new());
        tar.append(&header(EntryType::Directory, "a/", 0o755, 0), &[][..]).unwrap();
        let mut link = header(EntryType::Symlink, "a/link", 0o777, 0);
        link.set_link_name("../x").unwrap();
        link.set_cksum();
        tar.append(&link, &[][..]).unwrap();
        let records =
            [("mtime", &b"12.5"[..]), ("uname", b"bob"), ("SCHILY.xattr.user.note", b"it's \xff\n")];
        tar.append_pax_extensions(records).unwrap();
        tar.append(&header(EntryType::Regular, "a/tool", 0o4755, 3), &b"abc"[..]).unwrap();
        let mut text = Vec::new();
        list(&tar.into_inner().unwrap(), &mut text).unwrap();
        let expected = "  d00755 1:2 : 315532801 0 a\n  l00777 1:2 : 315532801 0 a/link -> ../x\n  -04755 1:2 bob: 12 3 a/tool ba7816bf8f01 SCHILY.xattr.user.note=\"it's \\udcff\\n\" uname='bob'\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn a_stream_that_ends_early_is_an_error() {
        let mut tar = Builder::new(Vec::new());
        tar.append(&header(EntryType::Regular, "a", 0o644, 600), &[7; 600][..]).unwrap();
        let bytes = tar.into_inner().unwrap();
        assert!(list(&bytes[..700], &mut Vec::new()).is_err());
    }
}
