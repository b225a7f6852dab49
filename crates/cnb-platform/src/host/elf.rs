//! What an ELF file needs: its loader, its libraries, and the version of libc it offers or asks for.

use std::fmt;
use std::io::{Read, Seek};
use std::path::PathBuf;

use elf::endian::AnyEndian;
use elf::gnu_symver::VerDefIterator;
use elf::section::SectionHeader;
use elf::string_table::StringTable;
use elf::{ElfStream, ParseError, abi};

/// The parts of an ELF file that say what it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The machine it runs on, as in `e_machine`.
    pub machine: u16,
    /// Its loader; a library has none.
    pub interpreter: Option<PathBuf>,
    /// The libraries it names, in order.
    pub libraries: Vec<String>,
    /// Directories in which it looks first; `$ORIGIN` stands for its own.
    pub search: Vec<String>,
}

/// A version of GNU libc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LibcVersion {
    /// The 2 of 2.36.
    pub major: u32,
    /// The 36 of 2.36.
    pub minor: u32,
}

impl fmt::Display for LibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Reads what an ELF file needs; `None` for a file of another kind, or a broken one.
pub fn needs(file: impl Read + Seek) -> Option<Needs> {
    let mut elf = ElfStream::<AnyEndian, _>::open_stream(file).ok()?;
    read_needs(&mut elf).ok()
}

fn read_needs<S: Read + Seek>(elf: &mut ElfStream<AnyEndian, S>) -> Result<Needs, ParseError> {
    let mut needs = Needs { machine: elf.ehdr.e_machine, ..Needs::default() };
    let interpreter = elf.segments().iter().find(|s| s.p_type == abi::PT_INTERP).copied();
    if let Some(segment) = interpreter {
        let path = elf.segment_data(&segment)?;
        let path = path.split(|b| *b == 0).next().unwrap_or_default();
        needs.interpreter = Some(PathBuf::from(String::from_utf8_lossy(path).into_owned()));
    }
    let Some(strings) = linked(elf, abi::SHT_DYNAMIC) else { return Ok(needs) };
    let mut offsets = Vec::new();
    if let Some(table) = elf.dynamic()? {
        offsets.extend(table.iter().map(|entry| (entry.d_tag, entry.d_val())));
    }
    let strings = elf.section_data_as_strtab(&strings)?;
    for (tag, offset) in offsets {
        let text = |offset: u64| Ok::<_, ParseError>(strings.get(usize::try_from(offset)?)?.to_owned());
        match tag {
            abi::DT_NEEDED => needs.libraries.push(text(offset)?),
            abi::DT_RUNPATH | abi::DT_RPATH => {
                needs.search.extend(text(offset)?.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(needs)
}

/// Returns the section that holds the strings of the first section of a type.
fn linked<S: Read + Seek>(elf: &ElfStream<AnyEndian, S>, section_type: u32) -> Option<SectionHeader> {
    let section = elf.section_headers().iter().find(|s| s.sh_type == section_type)?;
    elf.section_headers().get(usize::try_from(section.sh_link).ok()?).copied()
}

/// Returns the version of a `libc.so.6`: the newest `GLIBC_x.y` that it defines.
///
/// `None` when it defines none: no libc, or not the GNU one.
pub fn libc_version(bytes: &[u8]) -> Option<LibcVersion> {
    let mut elf = ElfStream::<AnyEndian, _>::open_stream(std::io::Cursor::new(bytes)).ok()?;
    let section = elf.section_headers().iter().find(|s| s.sh_type == abi::SHT_GNU_VERDEF).copied()?;
    let strings = linked(&elf, abi::SHT_GNU_VERDEF)?;
    let (endian, class) = (elf.ehdr.endianness, elf.ehdr.class);
    let mut offsets = Vec::new();
    let (data, _) = elf.section_data(&section).ok()?;
    for (_, mut names) in VerDefIterator::new(endian, class, u64::from(section.sh_info), 0, data) {
        // The first name is the version itself, the others are those that it builds on.
        offsets.extend(names.next().map(|n| n.vda_name));
    }
    let (data, _) = elf.section_data(&strings).ok()?;
    let strings = StringTable::new(data);
    let names = offsets.iter().filter_map(|o| strings.get(usize::try_from(*o).ok()?).ok());
    names.filter_map(version_of_symbol).max()
}

/// Reads `GLIBC_2.36`; `GLIBC_2.3.4` counts as 2.3, and `GLIBC_PRIVATE` not at all.
fn version_of_symbol(name: &str) -> Option<LibcVersion> {
    let mut parts = name.strip_prefix("GLIBC_")?.split('.');
    Some(LibcVersion { major: parts.next()?.parse().ok()?, minor: parts.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        assert_eq!(version_of_symbol(name).map(|v| v.to_string()).as_deref(), expected, "{name}");
    }

    #[test]
    fn symbol_versions_are_read_as_numbers() {
        check("GLIBC_2.36", Some("2.36"));
        check("GLIBC_2.2.5", Some("2.2"));
        check("GLIBC_PRIVATE", None);
        check("GLIBCXX_3.4", None);
        assert!(version_of_symbol("GLIBC_2.4") < version_of_symbol("GLIBC_2.36"));
    }

    #[test]
    fn this_program_needs_its_libc_and_offers_none() {
        let path = std::env::current_exe().unwrap();
        let needs = needs(std::fs::File::open(&path).unwrap()).unwrap();
        assert!(needs.libraries.iter().any(|l| l.starts_with("libc.")), "{needs:?}");
        assert!(needs.interpreter.unwrap().is_absolute());
        assert_eq!(libc_version(&fs_err::read(path).unwrap()), None);
    }

    #[test]
    fn files_of_another_kind_and_broken_ones_need_nothing() {
        assert_eq!(needs(std::io::Cursor::new(b"#!/bin/sh\n")), None);
        assert_eq!(libc_version(b""), None);
        let mut broken = fs_err::read(std::env::current_exe().unwrap()).unwrap();
        broken.truncate(500);
        assert_eq!(needs(std::io::Cursor::new(&broken)), None);
    }
}
