//! What the copy of a source holds, on real folders.

use std::cell::RefCell;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new(files: &[(&str, &str)]) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(world.app()).unwrap();
        for (path, contents) in files {
            let path = world.app().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, contents).unwrap();
        }
        world
    }

    fn app(&self) -> PathBuf {
        self.dir.path().join("app")
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    fn copy(&self, files: &Files) -> (Result<SourceReport, SourceError>, Vec<SourceEvent>) {
        self.copy_without(files, &[])
    }

    fn copy_without(
        &self,
        files: &Files,
        leave_out: &[HostPath],
    ) -> (Result<SourceReport, SourceError>, Vec<SourceEvent>) {
        let events = RefCell::new(Vec::new());
        let source = HostPath::absolute(self.app());
        let config = SourceConfig { source: &source, files, owner: None, leave_out };
        let result = copy(&config, &self.dest(), &|e| events.borrow_mut().push(e));
        (result, events.into_inner())
    }

    fn copied(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.dest(), "", &mut found);
        found
    }
}

fn list(dir: &Path, prefix: &str, found: &mut Vec<String>) {
    let mut entries: Vec<_> = std::fs::read_dir(dir).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().display());
        if entry.file_type().unwrap().is_dir() {
            found.push(format!("{name}/"));
            list(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

#[track_caller]
fn check(files: &Files, tree: &[(&str, &str)], expected: &[&str]) {
    let world = World::new(tree);
    world.copy(files).0.unwrap();
    assert_eq!(world.copied(), expected);
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn everything_is_copied_with_mode_time_and_links_as_they_are() {
    let world = World::new(&[("a/b.txt", "hello"), ("run.sh", "x")]);
    symlink("/etc/passwd", world.app().join("out")).unwrap();
    symlink("missing", world.app().join("dangling")).unwrap();
    fs_err::set_permissions(world.app().join("run.sh"), PermissionsExt::from_mode(0o755)).unwrap();
    fs_err::set_permissions(world.app().join("a"), PermissionsExt::from_mode(0o555)).unwrap();
    let (report, events) = world.copy(&Files::Unsaid);
    let expected = SourceReport { files: 2, dirs: 1, links: 2, bytes: 6, rules: RuleSource::Nothing };
    assert_eq!(report.unwrap(), expected);
    assert_eq!(events, []);
    assert_eq!(world.copied(), ["a/", "a/b.txt", "dangling", "out", "run.sh"]);
    assert_eq!(fs_err::read_link(world.dest().join("out")).unwrap(), Path::new("/etc/passwd"));
    for name in ["run.sh", "a", "a/b.txt", "out"] {
        let (from, to) = (world.app().join(name), world.dest().join(name));
        let (from, to) = (fs_err::symlink_metadata(from).unwrap(), fs_err::symlink_metadata(to).unwrap());
        assert_eq!((from.mode(), from.mtime(), from.mtime_nsec()), (to.mode(), to.mtime(), to.mtime_nsec()));
    }
    for root in [world.app(), world.dest()] {
        fs_err::set_permissions(root.join("a"), PermissionsExt::from_mode(0o755)).unwrap();
    }
}

#[test]
fn the_first_rule_file_that_exists_decides() {
    let tree = [(".cnbignore", "a\n"), (".dockerignore", "b\n"), ("a", ""), ("b", ""), ("c", "")];
    check(&Files::Unsaid, &tree, &[".cnbignore", ".dockerignore", "b", "c"]);
    check(&Files::Unsaid, &tree[1..], &[".dockerignore", "a", "c"]);
    check(&Files::Exclude(strings(&["c", ".*"])), &tree, &["a", "b"]);
    check(&Files::Include(strings(&["c"])), &tree, &["c"]);
}

#[test]
fn a_dockerignore_that_lets_in_only_what_was_built_before_does_not_count() {
    let tree = [(".dockerignore", "# Quarkus\n*\n!target/*-runner\n"), ("pom.xml", "")];
    check(&Files::Unsaid, &tree, &[".dockerignore", "pom.xml"]);
}

#[test]
fn directories_that_do_not_enter_are_made_only_for_what_does() {
    let tree = [("src/main.c", ""), ("src/doc/x.md", ""), ("test/y.md", ""), ("z/deep/main.c", "")];
    check(
        &Files::Include(strings(&["*.c"])),
        &tree,
        &["src/", "src/main.c", "z/", "z/deep/", "z/deep/main.c"],
    );
    check(
        &Files::Exclude(strings(&["src", "!src/doc", "z"])),
        &tree,
        &["src/", "src/doc/", "src/doc/x.md", "test/", "test/y.md"],
    );
}

#[test]
fn what_looks_private_is_named_once_with_the_remedy() {
    let mut tree = vec![(".env", "A=1"), (".git/HEAD", "x"), ("k.pem", "-----BEGIN PRIVATE KEY-----")];
    let world = World::new(&tree);
    let (_, events) = world.copy(&Files::Unsaid);
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        event.to_string(),
        "these look private and become part of the image: `.env`, `.git`, `k.pem`; \
         to keep them out, name them in a file `.cnbignore` beside the app"
    );
    tree.push((".cnbignore", ".env\n.git\n*.pem"));
    let (result, events) = World::new(&tree).copy(&Files::Unsaid);
    assert_eq!((result.unwrap().files, events), (1, vec![]));
}

#[test]
fn many_private_files_are_counted() {
    let names: Vec<String> = (0..9).map(|i| format!("{i}/.env")).collect();
    let tree: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), "x")).collect();
    let (_, events) = World::new(&tree).copy(&Files::Unsaid);
    let [SourceEvent::Sensitive { paths, more, .. }] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((paths.len(), *more), (5, 4));
}

#[test]
fn special_files_are_left_out_and_named() {
    let world = World::new(&[("a", "")]);
    let fifo = world.app().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
    let (result, events) = world.copy(&Files::Unsaid);
    assert_eq!(result.unwrap().files, 1);
    assert_eq!(events, [SourceEvent::SpecialFile { path: "pipe".into() }]);
}

#[test]
fn a_store_inside_the_app_is_not_copied_into_itself() {
    let world = World::new(&[("a", ""), (".store/blob", "")]);
    let store = [HostPath::absolute(world.app().join(".store"))];
    world.copy_without(&Files::Unsaid, &store).0.unwrap();
    assert_eq!(world.copied(), ["a"]);
}

#[test]
fn a_missing_app_and_a_file_are_told_apart() {
    let world = World::new(&[("file.zip", "PK")]);
    let with = |path: PathBuf| {
        let source = HostPath::absolute(path);
        let config = SourceConfig { source: &source, files: &Files::Unsaid, owner: None, leave_out: &[] };
        copy(&config, &world.dest(), &|_| {}).unwrap_err()
    };
    assert!(matches!(with(world.app().join("nowhere")), SourceError::Missing(_)));
    assert!(matches!(with(world.app().join("file.zip")), SourceError::NotAFolder(_)));
}

#[test]
fn an_empty_app_is_copied_and_a_full_destination_is_an_error() {
    let world = World::new(&[]);
    assert_eq!(world.copy(&Files::Unsaid).0.unwrap(), SourceReport::default());
    let world = World::new(&[("a", "new")]);
    fs_err::create_dir(world.dest()).unwrap();
    fs_err::write(world.dest().join("a"), "old").unwrap();
    let error = world.copy(&Files::Unsaid).0.unwrap_err();
    assert!(error.to_string().starts_with("failed to copy `"), "{error}");
}

#[test]
fn a_broken_pattern_names_its_file() {
    let world = World::new(&[(".cnbignore", "ok\n[z")]);
    let error = world.copy(&Files::Unsaid).0.unwrap_err().to_string();
    assert!(error.contains(".cnbignore: line 2: invalid pattern `[z`"), "{error}");
}

#[test]
fn names_of_any_bytes_and_deep_trees_are_copied() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new(&[]);
    let odd = std::ffi::OsStr::from_bytes(b"\xff\n");
    fs_err::create_dir_all(world.app().join("d/".repeat(300))).unwrap();
    fs_err::write(world.app().join("d/".repeat(300)).join(odd), "x").unwrap();
    assert_eq!(world.copy(&Files::Unsaid).0.unwrap().dirs, 300);
    assert!(world.dest().join("d/".repeat(300)).join(odd).exists());
}
