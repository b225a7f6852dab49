//! Whether a program needs nothing of the image that it runs in.

use std::io::{Read, Seek};
use std::path::Path;

use elf::endian::AnyEndian;
use elf::{ElfStream, ParseError, abi};

use super::PackageError;

/// Files that glibc looks at to find users and hosts. A program that names one would load libraries that only
/// an image with the very same glibc has.
const NAME_SERVICE: &[&str] = &["/etc/nsswitch.conf", "/etc/gai.conf"];

/// Returns the bytes of the program at `path` when it needs nothing else.
pub(super) fn read(program: &'static str, path: &Path) -> Result<Vec<u8>, PackageError> {
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.read_to_end(&mut bytes)?;
    check(&bytes).map_err(|what| PackageError::NotStatic { program, what })?;
    Ok(bytes)
}

/// Checks a program; an error says what it needs.
fn check(bytes: &[u8]) -> Result<(), String> {
    let needed = needed(std::io::Cursor::new(bytes)).map_err(|e| format!("is no ELF file: {e}"))?;
    if let Some(needed) = needed {
        return Err(format!("is not static: it needs {needed}"));
    }
    if let Some(file) = name_service(bytes) {
        return Err(format!(
            "has glibc's name service in it (`{file}`): find users in /etc/passwd, hosts without getaddrinfo"
        ));
    }
    Ok(())
}

/// Returns the file by which glibc's name service shows that it is linked in.
fn name_service(bytes: &[u8]) -> Option<&'static str> {
    let is_in = |file: &&&str| bytes.windows(file.len()).any(|window| window == file.as_bytes());
    NAME_SERVICE.iter().find(is_in).copied()
}

/// Returns what the kernel or the loader would have to find first.
fn needed<S: Read + Seek>(file: S) -> Result<Option<String>, ParseError> {
    let mut elf = ElfStream::<AnyEndian, _>::open_stream(file)?;
    if elf.segments().iter().any(|segment| segment.p_type == abi::PT_INTERP) {
        return Ok(Some("a dynamic loader".to_owned()));
    }
    let dynamic = elf.dynamic()?;
    let libraries =
        dynamic.iter().flat_map(elf::parse::ParsingTable::iter).filter(|d| d.d_tag == abi::DT_NEEDED).count();
    Ok((libraries > 0).then(|| format!("{libraries} shared libraries")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        let own = std::env::current_exe().unwrap();
        let error = read("own", &own).unwrap_err().to_string();
        assert_eq!(error, "the program `own` is not static: it needs a dynamic loader");
    }

    #[test]
    fn the_name_service_is_found_by_its_files() {
        assert_eq!(name_service(b"\0/etc/gai.conf\0"), Some("/etc/gai.conf"));
        assert_eq!(name_service(b"\0/etc/passwd\0/etc/resolv.conf\0"), None);
    }

    #[test]
    fn a_script_is_no_program() {
        assert!(check(b"#!/bin/sh\n").unwrap_err().starts_with("is no ELF file: "));
    }
}
