//! Tar headers: ustar where everything fits, PAX records before it where something does not.
//!
//! Requirements E1 to E4, E7 and E8. The layout is that of Go's `archive/tar`, which no Rust crate writes.

use cnb_spec::fault;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{BLOCK, MTIME};

const NAME: usize = 100;
const PREFIX: usize = 155;

/// What a header is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderKind {
    File { size: u64 },
    Dir,
    Link { target: Vec<u8> },
    HardLink { target: Vec<u8> },
    Fifo,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
}

/// One entry, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) path: &'a Path,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) kind: HeaderKind,
}

impl Header<'_> {
    /// Appends the blocks of this header, PAX records included, to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        self.write_as(out, true, &[]);
    }

    /// As [`write`](Self::write), with `extra` records and never with a name split as ustar does: what Go
    /// writes for an entry that it read with PAX records.
    pub(crate) fn write_pax(&self, out: &mut Vec<u8>, extra: &[(String, Vec<u8>)]) {
        self.write_as(out, false, extra);
    }

    fn write_as(&self, out: &mut Vec<u8>, mut ustar: bool, extra: &[(String, Vec<u8>)]) {
        let name = self.path.as_os_str().as_bytes();
        let link: &[u8] = match &self.kind {
            HeaderKind::Link { target } | HeaderKind::HardLink { target } => target,
            _ => b"",
        };
        let size = if let HeaderKind::File { size } = self.kind { size } else { 0 };
        let split = split_name(name);

        // A long name that ustar can split still gets its record when something else asks for PAX.
        let mut records: Vec<(&str, Vec<u8>)> = Vec::new();
        if !fits_octal(12, size) {
            ustar = false;
            records.push(("size", size.to_string().into_bytes()));
        }
        if !name.is_ascii() || name.len() > NAME {
            ustar &= split.is_some();
            records.push(("path", name.to_vec()));
        }
        if !link.is_ascii() || link.len() > NAME {
            ustar = false;
            records.push(("linkpath", link.to_vec()));
        }
        for (key, id) in [("uid", self.uid), ("gid", self.gid)] {
            if !fits_octal(8, u64::from(id)) {
                ustar = false;
                records.push((key, id.to_string().into_bytes()));
            }
        }
        if ustar {
            let (prefix, name) = split.unwrap_or((b"", name));
            out.extend_from_slice(&self.block(prefix, name, link, size));
            return;
        }
        records.extend(extra.iter().map(|(key, value)| (key.as_str(), value.clone())));
        if !records.is_empty() {
            write_records(out, name, records);
        }
        out.extend_from_slice(&self.block(b"", &ascii_only(name), &ascii_only(link), size));
    }

    fn block(&self, prefix: &[u8], name: &[u8], link: &[u8], size: u64) -> [u8; BLOCK] {
        let (flag, major, minor) = match self.kind {
            HeaderKind::File { .. } => (b'0', 0, 0),
            HeaderKind::HardLink { .. } => (b'1', 0, 0),
            HeaderKind::Link { .. } => (b'2', 0, 0),
            HeaderKind::CharDevice { major, minor } => (b'3', major, minor),
            HeaderKind::BlockDevice { major, minor } => (b'4', major, minor),
            HeaderKind::Dir => (b'5', 0, 0),
            HeaderKind::Fifo => (b'6', 0, 0),
        };
        let mut block = [0; BLOCK];
        text(&mut block[0..100], name);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], u64::from(self.uid));
        octal(&mut block[116..124], u64::from(self.gid));
        octal(&mut block[124..136], size);
        octal(&mut block[136..148], if fault::is("entry-time") { 0 } else { MTIME });
        block[156] = flag;
        text(&mut block[157..257], link);
        octal(&mut block[329..337], u64::from(major));
        octal(&mut block[337..345], u64::from(minor));
        text(&mut block[345..500], prefix);
        seal(&mut block);
        block
    }
}

fn write_records(out: &mut Vec<u8>, name: &[u8], mut records: Vec<(&str, Vec<u8>)>) {
    records.sort();
    let mut body = Vec::new();
    for (key, value) in &records {
        body.extend_from_slice(&record(key, value));
    }
    let at = name.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    let mut pax_name = ascii_only(&[&name[..at], b"PaxHeaders.0/", &name[at..]].concat());
    pax_name.truncate(NAME);
    while pax_name.last() == Some(&b'/') {
        pax_name.pop();
    }
    let mut block = [0; BLOCK];
    text(&mut block[0..100], &pax_name);
    for field in [100..108, 108..116, 116..124, 136..148] {
        octal(&mut block[field], 0);
    }
    octal(&mut block[124..136], body.len() as u64);
    block[156] = b'x';
    seal(&mut block);
    out.extend_from_slice(&block);
    out.extend_from_slice(&body);
    pad(out, body.len() as u64);
}

/// Appends the zeros that fill the last block of `size` bytes.
pub(crate) fn pad(out: &mut Vec<u8>, size: u64) {
    out.resize(out.len() + padding(size), 0);
}

/// Returns how many zeros follow `size` bytes up to the next block.
#[expect(clippy::cast_possible_truncation, reason = "less than a block")]
pub(crate) fn padding(size: u64) -> usize {
    (BLOCK as u64).wrapping_sub(size % BLOCK as u64) as usize % BLOCK
}

/// Returns `"<length> <key>=<value>\n"`, in which the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if rest + length.to_string().len() != length {
        length += 1;
    }
    let mut line = format!("{length} {key}=").into_bytes();
    line.extend_from_slice(value);
    line.push(b'\n');
    line
}

/// Splits a name that is too long at a `/`, so that both parts fit the ustar fields.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME || !name.is_ascii() {
        return None;
    }
    let search =
        if name.len() > PREFIX + 1 { &name[..=PREFIX] } else { name.strip_suffix(b"/").unwrap_or(name) };
    let at = search.iter().rposition(|b| *b == b'/').filter(|at| *at > 0)?;
    let (prefix, rest) = (&name[..at], &name[at + 1..]);
    (prefix.len() <= PREFIX && (1..=NAME).contains(&rest.len())).then_some((prefix, rest))
}

fn ascii_only(text: &[u8]) -> Vec<u8> {
    if text.is_ascii() {
        return text.to_vec();
    }
    // Go drops characters, and each byte that is no UTF-8 is one.
    String::from_utf8_lossy(text).bytes().filter(u8::is_ascii).collect()
}

fn fits_octal(width: u32, number: u64) -> bool {
    number < 1 << (3 * (width - 1))
}

/// Writes `text` and, where there is room, a NUL; a cut that ends in `/` loses those slashes.
fn text(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    if text.len() > field.len() && field.last() == Some(&b'/') {
        let kept = field.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
        field[kept] = 0;
    }
}

/// Writes a zero-padded octal number and a NUL; a number that does not fit is written as zero.
fn octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let fits = u32::try_from(field.len()).is_ok_and(|width| fits_octal(width, number));
    let text = format!("{:0digits$o}", if fits { number } else { 0 });
    field[..digits].copy_from_slice(text.as_bytes());
    field[digits] = 0;
}

/// Writes magic, version and checksum.
fn seal(block: &mut [u8; BLOCK]) {
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    octal(&mut block[148..155], sum);
}

/// Returns the bytes of a target or name.
pub(crate) fn bytes(text: &OsStr) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        assert_eq!(record("path", b"x"), b"9 path=x\n");
        assert_eq!(record("path", b"xx"), b"11 path=xx\n");
        for (value, length) in [(90, 99), (91, 101), (92, 102)] {
            let line = record("path", &vec![b'x'; value]);
            assert!(line.starts_with(format!("{length} path=").as_bytes()));
            assert_eq!(line.len(), length);
        }
    }

    #[test]
    fn names_are_split_only_where_both_parts_fit() {
        assert_eq!(split_name(&[b'a'; 100]), None);
        let name = [b"/".as_slice(), &[b'a'; 90], b"/", &[b'b'; 90]].concat();
        assert_eq!(split_name(&name).map(|(p, n)| (p.len(), n.len())), Some((91, 90)));
        assert_eq!(
            split_name(&[b"/".as_slice(), &[b'a'; 120]].concat()),
            None,
            "the leading slash is no place to split"
        );
        assert_eq!(split_name(&[b"/".as_slice(), &[b'a'; 160], b"/b"].concat()), None);
    }

    #[test]
    fn everything_is_found_again_by_another_reader() {
        let name = format!("/layers/{}é", "n".repeat(300));
        let mut out = Vec::new();
        Header {
            path: Path::new(&name),
            mode: 0o777,
            uid: 3_000_000,
            gid: 5,
            kind: HeaderKind::Link { target: vec![b't'; 200] },
        }
        .write(&mut out);
        let mut archive = tar::Archive::new(out.as_slice());
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(&*entry.path_bytes(), name.as_bytes());
        assert_eq!(entry.link_name_bytes().unwrap().len(), 200);
        let records = entry.pax_extensions().unwrap().unwrap();
        assert!(records.map(Result::unwrap).any(|r| r.key() == Ok("uid") && r.value() == Ok("3000000")));
    }
}
