//! Toolchains found on a PATH of small scripts that answer as the real tools do.

use std::cell::RefCell;
use std::os::unix::fs::symlink;

use super::*;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        for dir in ["home/.shims", "tools"] {
            fs_err::create_dir_all(world.path(dir)).unwrap();
        }
        world
    }

    fn path(&self, rest: &str) -> PathBuf {
        fs_err::canonicalize(self.dir.path()).unwrap().join(rest)
    }

    /// Puts a script on the PATH that notes each run and then does `body`.
    fn shim(&self, name: &str, body: &str) {
        let log = self.path("runs");
        self.script(&format!("home/.shims/{name}"), &format!("echo x >> {}\n{body}", log.display()));
    }

    fn script(&self, path: &str, body: &str) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn runs(&self) -> usize {
        fs_err::read_to_string(self.path("runs")).map_or(0, |t| t.lines().count())
    }

    fn find_with(&self, more: &[(&str, &str)], timeout: Duration) -> (Toolchains, Vec<String>) {
        let shims = self.path("home/.shims");
        let mut env: BTreeMap<OsString, OsString> =
            [("PATH".into(), shims.into_os_string()), ("SHIM".into(), "yes".into())].into();
        env.extend(more.iter().map(|(k, v)| ((*k).into(), (*v).into())));
        let (home, cache) = (HostPath::absolute(self.path("home")), self.path("cache/toolchains.json"));
        let config = ToolchainConfig { env: &env, home: &home, cache: Some(&cache), timeout };
        let notes = RefCell::new(Vec::new());
        let found = find(&config, &|note| notes.borrow_mut().push(note.to_string()));
        (found, notes.into_inner())
    }

    fn find(&self) -> (Toolchains, Vec<String>) {
        self.find_with(&[], TIMEOUT)
    }

    fn guests(&self, found: &Toolchains) -> Vec<String> {
        let root = format!("{}/", self.path("").display());
        let root = root.replace("//", "/");
        found.mounts.iter().map(|m| m.guest.to_string().replace(&root, "")).collect()
    }
}

#[test]
fn each_tool_says_where_it_lives_and_only_that_is_mounted() {
    let world = World::new();
    for dir in ["home/go1", "home/rust/stable", "home/.nvm/v20/bin", "home/py/3.12", "tools/jdk"] {
        fs_err::create_dir_all(world.path(dir)).unwrap();
    }
    let at = |rest: &str| world.path(rest).display().to_string();
    world.shim("go", &format!("[ \"$1 $2 $GOTOOLCHAIN\" = 'env GOROOT local' ] && echo {}", at("home/go1")));
    world.shim("rustc", &format!("echo {}", at("home/rust/stable")));
    world.shim("node", &format!("pwd >&2; [ $SHIM = yes ] && echo {}", at("home/.nvm/v20/bin/node")));
    world.shim("python3", &format!("echo hello; echo {}", at("home/py/3.12")));
    world.shim("java", &format!("echo '    java.home = {}' >&2", at("tools/jdk")));
    let (found, notes) = world.find();
    assert_eq!(notes, Vec::<String>::new());
    assert_eq!(
        world.guests(&found),
        ["home/.nvm/v20", "home/go1", "home/py/3.12", "home/rust/stable", "tools/jdk"]
    );
    assert_eq!(found.env["JAVA_HOME"], at("tools/jdk"));
    assert_eq!(found.path_dirs.len(), 5);
    assert!(found.path_dirs.contains(&GuestPath::new(at("home/go1/bin"))));
}

#[test]
fn other_versions_of_the_same_manager_are_there_but_not_on_the_path() {
    let world = World::new();
    for version in ["3.11.7", "3.12.1", "3.13.0"] {
        world.script(&format!("home/.pyenv/versions/{version}/bin/python3"), "");
    }
    fs_err::create_dir_all(world.path("home/.pyenv/versions/2.7.18")).unwrap();
    world.script("home/.pyenv/versions/of-a-project/bin/python3", "");
    let preferred = world.path("home/.pyenv/versions/3.11.7");
    world.shim("python3", &format!("echo {}", preferred.display()));
    let (found, _) = world.find();
    let all = ["3.11.7", "3.12.1", "3.13.0"].map(|v| format!("home/.pyenv/versions/{v}"));
    assert_eq!(world.guests(&found), all);
    assert_eq!(found.path_dirs, [GuestPath::new(preferred.join("bin"))]);
}

#[test]
fn channels_of_rustup_are_versions_too() {
    let world = World::new();
    let at = |name: &str| format!("home/.rustup/toolchains/{name}");
    for name in
        ["stable-x86_64-unknown-linux-gnu", "nightly-x86_64-unknown-linux-gnu", "1.80.0-x86_64", "mine"]
    {
        world.script(&format!("{}/bin/rustc", at(name)), "");
    }
    let stable = world.path(&at("stable-x86_64-unknown-linux-gnu"));
    world.shim("rustc", &format!("echo {}", stable.display()));
    let (found, _) = world.find();
    let all =
        ["1.80.0-x86_64", "nightly-x86_64-unknown-linux-gnu", "stable-x86_64-unknown-linux-gnu"].map(at);
    assert_eq!(world.guests(&found), all);
}

#[test]
fn answers_are_kept_until_a_tool_a_variable_or_a_place_changes() {
    let world = World::new();
    for dir in ["tools/go1", "tools/go2"] {
        fs_err::create_dir_all(world.path(dir)).unwrap();
    }
    world.shim("go", &format!("echo {}", world.path("tools/go1").display()));
    let (first, _) = world.find();
    assert_eq!((world.find().0, world.runs()), (first, 1));
    world.find_with(&[("PYENV_VERSION", "3")], TIMEOUT);
    assert_eq!(world.runs(), 2);
    world.shim("go", &format!("echo {} # another", world.path("tools/go2").display()));
    assert_eq!(world.guests(&world.find().0), ["tools/go2"]);
    assert_eq!(world.runs(), 3);
    fs_err::remove_dir(world.path("tools/go2")).unwrap();
    assert_eq!(world.find().0, Toolchains::default());
    assert_eq!(world.runs(), 4);
}

#[test]
fn a_choice_written_by_a_version_manager_is_seen() {
    let world = World::new();
    fs_err::create_dir_all(world.path("home/.pyenv")).unwrap();
    fs_err::write(world.path("home/.pyenv/version"), "3.11").unwrap();
    world.shim("python3", "echo /usr");
    world.find();
    world.find();
    assert_eq!(world.runs(), 1);
    fs_err::write(world.path("home/.pyenv/version"), "3.12.1").unwrap();
    world.find();
    assert_eq!(world.runs(), 2);
}

#[test]
fn a_home_and_what_is_above_it_are_never_mounted() {
    for place in ["home", "", "home/.local", "home/.config", "../../../../../..", "other"] {
        let world = World::new();
        fs_err::create_dir_all(world.path("home/.local")).unwrap();
        fs_err::create_dir_all(world.path("home/.config")).unwrap();
        fs_err::create_dir_all(world.path("other/.ssh")).unwrap();
        world.shim("go", &format!("echo {}", world.path(place).display()));
        let (found, notes) = world.find();
        assert_eq!(found, Toolchains::default(), "{place}");
        assert_eq!(notes.len(), 1, "{place}");
    }
}

#[test]
fn of_a_private_place_only_the_executable_is_mounted() {
    let world = World::new();
    fs_err::create_dir_all(world.path("home/.local/bin")).unwrap();
    fs_err::write(world.path("home/.local/bin/node"), b"\x7fELF...").unwrap();
    world.shim("node", &format!("echo {}", world.path("home/.local/bin/node").display()));
    let (found, notes) = world.find();
    assert_eq!((world.guests(&found), notes), (vec!["home/.local/bin/node".to_owned()], vec![]));
    assert_eq!(found.path_dirs, [GuestPath::new(world.path("home/.local/bin"))]);
}

#[test]
fn a_place_called_by_a_link_is_there_under_both_names() {
    let world = World::new();
    fs_err::create_dir_all(world.path("home/jdks/21/bin")).unwrap();
    world.script("home/jdks/21/bin/java", "exit 9");
    symlink("21", world.path("home/jdks/current")).unwrap();
    world.shim("java", "exit 1");
    let current = world.path("home/jdks/current").display().to_string();
    let (found, _) = world.find_with(&[("JAVA_HOME", &current)], TIMEOUT);
    assert_eq!(world.guests(&found), ["home/jdks/21", "home/jdks/current"]);
    assert!(found.mounts.iter().all(|m| m.host.as_path() == world.path("home/jdks/21")));
    assert_eq!(world.runs(), 0);
}

#[test]
fn a_place_named_by_a_variable_needs_no_program_on_the_path() {
    let world = World::new();
    world.script("home/jdk/bin/java", "exit 9");
    let home = world.path("home/jdk").display().to_string();
    let (found, _) = world.find_with(&[("JAVA_HOME", &home)], TIMEOUT);
    assert_eq!(
        (world.guests(&found), found.env["JAVA_HOME"].as_str()),
        (vec!["home/jdk".to_owned()], &*home)
    );
}

#[test]
fn tools_that_fail_hang_or_babble_are_left_out_with_a_note() {
    let world = World::new();
    world.shim("go", "exit 3");
    world.shim("rustc", "exec tail -f /dev/null");
    world.shim("node", "echo nonsense");
    let (found, mut notes) = world.find_with(&[("PATH", &world.path_with_system())], Duration::from_secs(1));
    assert_eq!(found, Toolchains::default());
    notes.sort();
    let shims = world.path("home/.shims").display().to_string();
    let said: Vec<String> = notes.iter().map(|n| n.replace(&shims, "")).collect();
    assert_eq!(
        said,
        [
            "`/go` is left out of the build: it ended with exit status: 3 when asked where it lives",
            "`/node` is left out of the build: it did not say where it lives",
            "`/rustc` is left out of the build: it did not answer within 1 s",
        ]
    );
}

impl World {
    /// A PATH on which shell scripts find `tail`, and the tools of this machine are shadowed.
    fn path_with_system(&self) -> String {
        for tool in ["python3", "python", "java"] {
            let shim = self.path(&format!("home/.shims/{tool}"));
            if !shim.exists() {
                self.script(
                    &format!("home/.shims/{tool}"),
                    "[ \"$1\" = -XshowSettings:properties ] \
                    && echo 'java.home = /usr' >&2; echo /usr",
                );
            }
        }
        format!("{}:/usr/bin:/bin", self.path("home/.shims").display())
    }
}

#[test]
fn what_the_build_sees_anyway_is_not_mounted() {
    let world = World::new();
    world.shim("go", "echo /usr");
    symlink("/bin/sh", world.path("home/.shims/rustc")).unwrap();
    assert_eq!(world.find(), (Toolchains::default(), vec![]));
}
