//! Shared libraries of this machine that programs and extension modules need: they are carried into a layer, since
//! the image need not have them.
//!
//! The launcher puts the folder `lib` of every layer on `LD_LIBRARY_PATH` (requirement C18).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::command::Command;
use crate::context::find_program;
use crate::{BuildContext, Failure};

/// Libraries that every run image for native programs has.
const STANDARD: &[&str] = &[
    "ld-linux",
    "libanl.so",
    "libc.so",
    "libdl.so",
    "libgcc_s.so",
    "libm.so",
    "libpthread.so",
    "libresolv.so",
    "librt.so",
    "libstdc++.so",
    "libutil.so",
    "linux-vdso",
];

/// A file, and a library that it names but that is not there.
pub type Missing = (PathBuf, String);

/// Lists the ELF files below `dir`: shared objects and programs.
pub fn programs_below(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    use std::io::Read;
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        if !dir.is_dir() {
            continue;
        }
        for entry in fs_err::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                todo.push(entry.path());
            } else if kind.is_file() {
                let mut magic = [0; 4];
                let mut file = fs_err::File::open(entry.path())?;
                if file.read_exact(&mut magic).is_ok() && &magic == b"\x7fELF" {
                    found.push(entry.path());
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies the libraries of this machine that `files` need, with those that these need in turn, into `lib`, and
/// returns what they name but this machine does not have either.
///
/// A library that lies beside the files already, as in wheels, is left where it is.
pub fn carry(cx: &BuildContext, files: &[PathBuf], lib: &Path) -> Result<Vec<Missing>, Failure> {
    let Some(ldd) = find_program(&cx.env, "ldd") else {
        cx.log.warning(
            "there is no `ldd` on this machine, so shared libraries that the image lacks are not found",
        );
        return Ok(Vec::new());
    };
    let (mut wanted, mut missing) = (BTreeMap::new(), Vec::new());
    for some in files.chunks(200) {
        // Static programs, and those of other machines, make ldd fail; it still answers for the others.
        let output = Command::new(&ldd, Path::new("/"), &cx.env).args(some).quietly()?;
        read(&output.stdout, some, &mut wanted, &mut missing);
    }
    for (name, path) in &wanted {
        if path.starts_with(&cx.layers_dir) || path.starts_with(&cx.app_dir) {
            continue;
        }
        fs_err::create_dir_all(lib)?;
        fs_err::copy(path, lib.join(name))?;
    }
    missing.retain(|(_, name)| !lib.join(name).exists() && !is_among(files, name));
    Ok(missing)
}

/// Removes from ELF files what only a debugger reads; where this machine has no `strip`, they stay as they are.
pub fn strip(cx: &BuildContext, files: &[PathBuf]) -> Result<(), Failure> {
    let Some(strip) = find_program(&cx.env, "strip") else { return Ok(()) };
    for some in files.chunks(200) {
        // A file that it does not know is left alone, which makes it fail for that one.
        Command::new(&strip, Path::new("/"), &cx.env).args(["--strip-unneeded"]).args(some).quietly()?;
    }
    Ok(())
}

/// Returns whether a library is one of the files: what loads them in a wheel knows where they lie, each alone does not.
fn is_among(files: &[PathBuf], name: &str) -> bool {
    files.iter().any(|file| file.file_name().is_some_and(|n| n == name))
}

/// Reads the output of `ldd`; with one file it does not name it.
fn read(text: &str, files: &[PathBuf], wanted: &mut BTreeMap<String, PathBuf>, missing: &mut Vec<Missing>) {
    let mut file = files.first().cloned().unwrap_or_default();
    for line in text.lines() {
        if let Some(named) = line.strip_suffix(':').filter(|_| !line.starts_with(['\t', ' '])) {
            file = PathBuf::from(named);
            continue;
        }
        let Some((name, rest)) = line.trim().split_once(" => ") else { continue };
        if rest.starts_with("not found") {
            missing.push((file.clone(), name.to_owned()));
        } else if let Some(path) = rest.split(" (").next().map(str::trim).filter(|p| p.starts_with('/'))
            && !STANDARD.iter().any(|s| name.starts_with(s))
        {
            wanted.insert(name.to_owned(), PathBuf::from(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, PathBuf, is_among, read};

    #[test]
    fn what_files_need_beyond_the_standard_libraries_is_told_apart_by_file() {
        let text = "/l/a.so:\n\tlinux-vdso.so.1 (0x0)\n\tlibssl.so.3 => /lib/x/libssl.so.3 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n/l/b.so:\n\tlibgdbm.so.6 => not found\n";
        let (mut wanted, mut missing) = (BTreeMap::new(), Vec::new());
        read(text, &["/l/a.so".into(), "/l/b.so".into()], &mut wanted, &mut missing);
        assert_eq!(wanted, [("libssl.so.3".to_owned(), PathBuf::from("/lib/x/libssl.so.3"))].into());
        assert_eq!(missing, [(PathBuf::from("/l/b.so"), "libgdbm.so.6".to_owned())]);
    }

    #[test]
    fn libraries_of_a_wheel_are_not_missing_to_each_other() {
        let files = ["/l/p.libs/libpq-e8.so.5".into(), "/l/p.libs/libssl-7d.so.1".into()];
        assert!(is_among(&files, "libssl-7d.so.1") && !is_among(&files, "libssl.so.1"));
    }

    #[test]
    fn a_single_file_is_not_named_in_the_answer() {
        let (mut wanted, mut missing) = (BTreeMap::new(), Vec::new());
        read("\tlibGL.so.1 => not found\n", &["/l/cv2.so".into()], &mut wanted, &mut missing);
        assert_eq!(missing, [(PathBuf::from("/l/cv2.so"), "libGL.so.1".to_owned())]);
    }
}
