//! What a compiled class says of itself: its name, whether it can be started, and what it refers to.

use std::collections::BTreeSet;

/// Returns the name of a class with a method `public static void main(String[])`.
pub(crate) fn startable(bytes: &[u8]) -> Option<String> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.u32()? != 0xcafe_babe {
        return None;
    }
    reader.skip(4)?;
    let constants = constants(&mut reader)?;
    let flags = reader.u16()?;
    let this = usize::from(reader.u16()?);
    reader.skip(2)?;
    let interfaces = usize::from(reader.u16()?);
    reader.skip(2 * interfaces)?;
    members(&mut reader, &constants, |_, _, _| false)?;
    let has_main = members(&mut reader, &constants, |flags, name, kind| {
        flags & (PUBLIC | STATIC) == PUBLIC | STATIC && name == "main" && kind == "([Ljava/lang/String;)V"
    })?;
    let Some(Constant::Class(name)) = constants.get(this) else { return None };
    let Some(Constant::Text(name)) = constants.get(*name) else { return None };
    (has_main && flags & INTERFACE == 0).then(|| name.replace('/', "."))
}

/// Adds the names of what a class refers to (classes, types, packages, modules) to `found`, its own among them. Texts
/// that it prints are left out: they change most.
pub(crate) fn references(bytes: &[u8], found: &mut BTreeSet<String>) {
    let mut reader = Reader { bytes, at: 0 };
    let constants = reader.skip(8).and_then(|()| constants(&mut reader)).unwrap_or_default();
    let printed: BTreeSet<usize> = constants
        .iter()
        .filter_map(|constant| if let Constant::Printed(at) = constant { Some(*at) } else { None })
        .collect();
    for (at, constant) in constants.into_iter().enumerate() {
        match constant {
            Constant::Text(text) if text.contains(['/', '.']) && !printed.contains(&at) => {
                found.insert(text);
            }
            _ => (),
        }
    }
}

const PUBLIC: u16 = 1;
const STATIC: u16 = 8;
const INTERFACE: u16 = 0x200;

enum Constant {
    Text(String),
    Class(usize),
    Printed(usize),
    Other,
}

fn constants(reader: &mut Reader) -> Option<Vec<Constant>> {
    let count = usize::from(reader.u16()?);
    // They are numbered from one.
    let mut found = vec![Constant::Other];
    while found.len() < count {
        match reader.u8()? {
            1 => {
                let length = usize::from(reader.u16()?);
                found.push(Constant::Text(String::from_utf8_lossy(reader.take(length)?).into_owned()));
            }
            7 => found.push(Constant::Class(usize::from(reader.u16()?))),
            8 => found.push(Constant::Printed(usize::from(reader.u16()?))),
            // Long numbers take two places.
            5 | 6 => {
                reader.skip(8)?;
                found.extend([Constant::Other, Constant::Other]);
            }
            16 | 19 | 20 => {
                reader.skip(2)?;
                found.push(Constant::Other);
            }
            15 => {
                reader.skip(3)?;
                found.push(Constant::Other);
            }
            3 | 4 | 9 | 10 | 11 | 12 | 17 | 18 => {
                reader.skip(4)?;
                found.push(Constant::Other);
            }
            _ => return None,
        }
    }
    Some(found)
}

/// Reads fields or methods, and returns whether one of them is the wanted one.
fn members(
    reader: &mut Reader,
    constants: &[Constant],
    is_wanted: impl Fn(u16, &str, &str) -> bool,
) -> Option<bool> {
    let text = |at: u16| match constants.get(usize::from(at)) {
        Some(Constant::Text(text)) => text.as_str(),
        _ => "",
    };
    let mut found = false;
    for _ in 0..reader.u16()? {
        let (flags, name, kind) = (reader.u16()?, reader.u16()?, reader.u16()?);
        found |= is_wanted(flags, text(name), text(kind));
        for _ in 0..reader.u16()? {
            reader.skip(2)?;
            let length = usize::try_from(reader.u32()?).ok()?;
            reader.skip(length)?;
        }
    }
    Some(found)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let found = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(found)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(drop)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{references, startable};

    #[test]
    fn a_class_refers_to_types_and_not_to_what_it_prints() {
        let mut class = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61, 0, 6];
        for text in ["java/net/URI", "text/html", "name"] {
            class.extend([1, 0, u8::try_from(text.len()).unwrap()]);
            class.extend(text.bytes());
        }
        // A class named by the first text, and a string that is the second.
        class.extend([7, 0, 1, 8, 0, 2]);
        let mut found = BTreeSet::new();
        references(&class, &mut found);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["java/net/URI"]);
    }

    #[test]
    fn what_is_no_class_cannot_be_started() {
        assert_eq!(startable(b"PK\x03\x04"), None);
        assert_eq!(startable(&[0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 61, 0xff, 0xff, 1, 0xff]), None);
    }
}
