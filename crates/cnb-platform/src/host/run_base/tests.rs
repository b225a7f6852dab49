//! Plans made of the host itself, and of small roots.

use std::os::unix::fs::{MetadataExt, symlink};

use cnb_fs::Root;

use super::*;

fn entry<'p>(plan: &'p BasePlan, path: &str) -> Option<&'p BaseEntry> {
    plan.entries.iter().find(|e| e.guest == GuestPath::new(path))
}

/// Writes the files of a plan below `root`, as the layer would hold them.
fn unpack(plan: &BasePlan, root: &Path) {
    for entry in &plan.entries {
        let path = root.join(entry.guest.as_guest().strip_prefix("/").unwrap());
        match &entry.content {
            BaseContent::Dir => fs_err::create_dir(path).unwrap(),
            BaseContent::Link(target) => symlink(target, path).unwrap(),
            BaseContent::File { host, .. } => drop(fs_err::copy(host.as_path(), path).unwrap()),
            BaseContent::Generated(bytes) => fs_err::write(path, bytes).unwrap(),
        }
    }
}

#[test]
fn a_plan_of_this_host_has_parents_first_and_every_link_leads_to_an_entry() {
    let plan = plan(Path::new("/")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    unpack(&plan, dir.path());
    let root = rustix::fs::open(dir.path(), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let root = Root::new(root, None);
    for path in ["/bin/sh", "/bin/bash", "/usr/bin/env", "/etc/passwd", "/etc/os-release", "/home/cnb"] {
        assert!(root.exists(&GuestPath::new(path)).unwrap(), "{path}");
    }
    assert_eq!(libc_of(&root).unwrap(), Some(plan.libc));
    assert_eq!(entry(&plan, "/tmp").unwrap().mode, 0o1777);
    let home = entry(&plan, "/home/cnb").unwrap();
    assert_eq!((home.uid, home.gid), (1001, 1000));
}

#[test]
fn nothing_in_the_image_says_who_works_on_the_host() {
    let plan = plan(Path::new("/")).unwrap();
    assert!(matches!(entry(&plan, "/etc/passwd").unwrap().content, BaseContent::Generated(_)));
    for path in ["/etc/shadow", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/localtime"] {
        assert_eq!(entry(&plan, path), None);
    }
    for entry in &plan.entries {
        assert_eq!(entry.mode & 0o6000, 0, "{}", entry.guest);
        let text = entry.guest.to_string();
        assert!(!text.starts_with("/root/") && !text.starts_with("/usr/local/lib/"), "{text}");
    }
}

#[test]
fn the_same_host_gives_the_same_plan_and_the_stamp_holds() {
    let (first, second) = (plan(Path::new("/")).unwrap(), plan(Path::new("/")).unwrap());
    assert_eq!(first, second);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("base.json");
    first.stamp.write(&file).unwrap();
    let kept = Stamp::read(&file).unwrap();
    assert_eq!(kept, first.stamp);
    assert!(kept.holds());
}

/// A root with the shell and libraries of the host's plan, to change things in.
fn small_root() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(Path::new("/")).unwrap();
    for entry in &plan.entries {
        let path = dir.path().join(entry.guest.as_guest().strip_prefix("/").unwrap());
        let text = entry.guest.to_string();
        match &entry.content {
            BaseContent::Dir => fs_err::create_dir(path).unwrap(),
            BaseContent::Link(target) => symlink(target, path).unwrap(),
            BaseContent::File { host, .. } if text.contains("/lib") || text.ends_with("sh") => {
                fs_err::copy(host.as_path(), path).unwrap();
            }
            _ => {}
        }
    }
    dir
}

#[test]
fn optional_files_may_be_missing_and_essential_ones_are_named() {
    let dir = small_root();
    let found = plan(dir.path()).unwrap();
    assert_eq!(entry(&found, "/usr/bin/env"), None);
    let shell = fs_err::canonicalize(dir.path().join("bin")).unwrap().join("sh");
    fs_err::remove_file(shell).unwrap();
    let error = plan(dir.path()).unwrap_err().to_string();
    assert!(error.starts_with("the host has no shell `/bin/sh`, so no run image can be made"), "{error}");
    let error = plan(tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
    assert!(error.contains("`/bin/sh`"), "{error}");
}

#[test]
fn a_missing_library_is_named_with_what_needs_it() {
    let dir = small_root();
    let plan_before = plan(dir.path()).unwrap();
    let libc = plan_before.entries.iter().find(|e| e.guest.file_name().is_some_and(|n| n == "libc.so.6"));
    let libc = libc.unwrap().guest.as_guest().strip_prefix("/").unwrap().to_path_buf();
    fs_err::remove_file(dir.path().join(libc)).unwrap();
    let error = plan(dir.path()).unwrap_err().to_string();
    assert!(error.starts_with("the host has no C library `libc.so.6`"), "{error}");
    assert!(!plan_before.stamp.holds());
}

#[test]
fn a_file_that_changes_or_appears_ends_the_stamp() {
    let dir = small_root();
    let before = plan(dir.path()).unwrap();
    assert!(before.stamp.holds());
    fs_err::write(dir.path().join("usr/bin/env"), "#!/bin/sh\n").unwrap();
    assert!(!before.stamp.holds());
    let after = plan(dir.path()).unwrap();
    assert_ne!(before.stamp.fingerprint(), after.stamp.fingerprint());
    // What is beside the list does not count.
    fs_err::write(dir.path().join("usr/bin/unrelated"), "x").unwrap();
    assert!(after.stamp.holds());
}

#[test]
fn zones_come_without_their_two_copies() {
    let dir = small_root();
    let zones = dir.path().join("usr/share/zoneinfo");
    for name in ["Europe", "posix", "right"] {
        fs_err::create_dir_all(zones.join(name)).unwrap();
        fs_err::write(zones.join(name).join("Oslo"), "TZif").unwrap();
    }
    let plan = plan(dir.path()).unwrap();
    assert!(entry(&plan, "/usr/share/zoneinfo/Europe/Oslo").is_some());
    assert_eq!(entry(&plan, "/usr/share/zoneinfo/posix/Oslo"), None);
    assert_eq!(entry(&plan, "/usr/share/zoneinfo/right"), None);
}

#[test]
fn labels_say_which_distribution_it_is() {
    let found = labels(b"NAME=\"X Y\"\nID=debian\nVERSION_ID=\"12\"\n");
    assert_eq!(found["io.buildpacks.base.distro.name"], "debian");
    assert_eq!(found["io.buildpacks.base.distro.version"], "12");
    assert_eq!(found["org.opencontainers.image.base.name"], "host/debian:12");
    assert_eq!(labels(b"")["io.buildpacks.base.distro.name"], "linux");
}

#[test]
fn programs_of_the_host_run_in_the_root_that_is_planned() {
    // The closure is complete when the loader itself, told to look nowhere else, finds every library.
    let plan = plan(Path::new("/")).unwrap();
    let names: Vec<_> = plan.entries.iter().filter_map(|e| e.guest.file_name()).collect();
    for entry in &plan.entries {
        let BaseContent::File { host, .. } = &entry.content else { continue };
        assert_eq!(
            fs_err::metadata(host.as_path()).unwrap().size(),
            match entry.content {
                BaseContent::File { size, .. } => size,
                _ => 0,
            }
        );
        let needs = crate::host::elf::needs(std::fs::File::open(host.as_path()).unwrap());
        for library in needs.map(|n| n.libraries).unwrap_or_default() {
            assert!(names.iter().any(|n| *n == library.as_str()), "{library} of {}", entry.guest);
        }
    }
}

#[test]
fn the_documentation_names_everything_on_the_list() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/default-builder.md");
    let page = fs_err::read_to_string(page).unwrap();
    let listed = list::PROGRAMS.iter().chain(&list::FILES).chain(&list::TOP_LINKS);
    let directories = list::DIRECTORIES.iter().map(|(path, _)| path);
    let generated = list::GENERATED.iter().map(|(path, _)| path);
    // The two generations of OpenSSL are named in words.
    let libraries =
        list::LIBRARIES.iter().filter(|l| !l.starts_with("libssl") && !l.starts_with("libcrypto"));
    for name in listed.chain(directories).chain(generated).chain(libraries) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
