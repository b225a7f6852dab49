//! Builds over real files, with closures in the place of `bin/build`; most of them leave something hostile.

#![expect(clippy::unwrap_used, reason = "in what tests share, a panic is a failed test, too")]

use std::cell::RefCell;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use cnb_builder::{BuildError, Built, Config, Event, build};
use cnb_fs::{GuestPath, Root};
use cnb_sandbox::{Exit, Invocation};
use cnb_spec::api::PlatformApi;
use cnb_spec::env::Env;
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::target::{Distro, Target};

type Output<'a> = &'a mut dyn FnMut(&[u8]);

/// Has two buildpacks, `a` and `b`; what they do is a closure's.
struct World {
    dir: tempfile::TempDir,
    root: Root,
    events: RefCell<Vec<Event>>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let handle: std::os::fd::OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
        let world = Self { dir, root: Root::new(handle, None), events: RefCell::new(Vec::new()) };
        for id in ["a", "b"] {
            let text = format!(
                "api = '0.12'\n[buildpack]\nid = '{id}'\nversion = '1'\nsbom-formats = ['application/spdx+json']\n"
            );
            world.write(&format!("/bp/{id}/1/buildpack.toml"), &text);
        }
        world
    }

    fn write(&self, path: &str, text: &str) {
        self.root.write(&GuestPath::new(path), text.as_bytes(), 0o644).unwrap();
    }

    /// Returns where the host sees a path of the layers directory.
    fn host(&self, path: &str) -> PathBuf {
        self.dir.path().join("layers").join(path)
    }

    fn build(&self, acts: &(impl Fn(&Invocation) + Sync)) -> Result<Built, BuildError> {
        let config = Config {
            platform_api: PlatformApi::LATEST,
            app: GuestPath::new("/workspace"),
            layers: GuestPath::new("/layers"),
            buildpacks: GuestPath::new("/bp"),
            platform: GuestPath::new("/platform"),
            build_config: GuestPath::new("/config"),
            scratch: GuestPath::new("/tmp"),
            group: toml::from_str("[[group]]\nid = 'a'\nversion = '1'\napi = '0.12'\n[[group]]\nid = 'b'\nversion = '1'\napi = '0.12'").unwrap(),
            plan: toml::from_str("[[entries]]\n[[entries.providers]]\nid = 'a'\nversion = '1'\n[[entries.requires]]\nname = 'x'").unwrap(),
            target: Target { distro: Some(Distro::default()), ..Target::default() },
            exec_env: ExecEnv::default(),
            env: Env::new(),
        };
        let run = |invocation: &Invocation, _: Output<'_>| -> io::Result<Exit> {
            acts(invocation);
            Ok(Exit::Code(0))
        };
        build(&config, &self.root, &run, &|event| self.events.borrow_mut().push(event))
    }

    /// Builds with a first buildpack that does `act` in its layers directory.
    fn build_with(&self, act: impl Fn(&Self, &str)) -> Result<Built, BuildError> {
        // The closure that runs must be `Sync`, the world is not: act before, where the buildpack would.
        std::fs::create_dir_all(self.host("a")).unwrap();
        act(self, "/layers/a");
        self.build(&|_| {})
    }
}

#[track_caller]
fn check_error(act: impl Fn(&World, &str), expected: &str) {
    let error = World::new().build_with(act).unwrap_err();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    assert!(text.contains(expected), "{text}");
}

fn fifo(path: PathBuf) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
}

#[test]
fn hostile_leftovers_end_in_errors_that_name_the_file() {
    check_error(
        |w, dir| w.write(&format!("{dir}/x.toml"), "[types]\nlaunch = 'yes'"),
        "/layers/a/x.toml`: line 2",
    );
    check_error(|w, _| fifo(w.host("a/x.toml")), "/layers/a/x.toml`: not a regular file");
    check_error(|w, _| fifo(w.host("a/launch.toml")), "/layers/a/launch.toml`: not a regular file");
    check_error(
        |w, _| symlink("build.toml", w.host("a/build.toml")).unwrap(),
        "/layers/a/build.toml`: Too many levels",
    );
    check_error(
        |w, dir| w.write(&format!("{dir}/launch.toml"), &" ".repeat((16 << 20) + 1)),
        "launch.toml`: it is larger than",
    );
    check_error(
        |w, dir| w.write(&format!("{dir}/launch.sbom.cdx.json"), ""),
        "undeclared SBOM media type: 'application/vnd.cyclonedx+json'",
    );
    check_error(
        |w, dir| w.write(&format!("{dir}/build.sbom.x.json"), ""),
        "unsupported SBOM file format: '/layers/a/build.sbom.x.json'",
    );
    check_error(
        |w, _| std::fs::create_dir(w.host("a/launch.sbom.spdx.json")).unwrap(),
        "/layers/a/launch.sbom.spdx.json`: Is a directory",
    );
    check_error(
        |w, dir| {
            w.write(&format!("{dir}/x.toml"), "[types]\nbuild = true");
            w.write(&format!("{dir}/x/env/A"), "1");
            fifo(w.host("a/x/env/B"));
        },
        "apply env files from dir '/layers/a/x/env': failed to read `/layers/a/x/env/B`",
    );
    check_error(
        |w, dir| {
            w.write(&format!("{dir}/x.toml"), "");
            w.write(&format!("{dir}/x/f"), "");
            std::fs::create_dir(w.host("a/x.ignore")).unwrap();
        },
        "`/layers/a/x.ignore` exists",
    );
}

#[test]
fn links_do_not_lead_out_of_the_build() {
    let world = World::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::File::create(outside.path().join("kept")).unwrap();
    std::fs::create_dir_all(world.host("sbom")).unwrap();
    symlink(outside.path(), world.host("sbom/launch")).unwrap();
    let found = world.build_with(|w, dir| {
        w.write(&format!("{dir}/launch.sbom.spdx.json"), "{}");
        w.write(&format!("{dir}/x.toml"), "");
        symlink(outside.path(), w.host("a/x")).unwrap();
    });
    found.unwrap();
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
    assert!(world.host("sbom/launch/a/sbom.spdx.json").is_file());
    assert!(world.host("a/x.ignore").is_symlink());
}

#[test]
fn names_of_any_bytes_are_layers_and_those_that_mean_other_directories_are_not() {
    let world = World::new();
    let odd = |suffix: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(&[b"a/\xff", suffix].concat()));
    let host = |path: PathBuf| world.dir.path().join("layers").join(path);
    let built = world.build_with(|w, dir| {
        std::fs::create_dir(host(odd(b""))).unwrap();
        std::fs::File::create(host(odd(b".toml"))).unwrap();
        for name in [".toml", "..toml", "...toml"] {
            w.write(&format!("{dir}/{name}"), "");
        }
    });
    built.unwrap();
    assert!(host(odd(b".ignore")).is_dir());
    assert!(world.host("a").is_dir() && world.host("b").is_dir());
    assert!(world.events.borrow().contains(&Event::NamelessLayer(GuestPath::new("/layers/a"))));
}

#[test]
fn what_one_buildpack_sets_the_next_one_sees() {
    let world = World::new();
    std::fs::create_dir_all(world.host("a/x/bin")).unwrap();
    world.write("/layers/a/x.toml", "[types]\nbuild = true");
    world.write("/layers/a/x/env.build/A.append", "1");
    world.write("/platform/env/PATH", "/user");
    let seen = std::sync::Mutex::new(Vec::new());
    world.build(&|invocation| seen.lock().unwrap().push(invocation.env.clone())).unwrap();
    let seen = seen.into_inner().unwrap();
    let value = |n: usize, name: &str| {
        seen[n].get(std::ffi::OsStr::new(name)).and_then(|v| v.to_str()).map(str::to_owned)
    };
    assert_eq!((value(0, "PATH").as_deref(), value(0, "A")), (Some("/user"), None));
    assert_eq!(
        (value(1, "PATH").as_deref(), value(1, "A").as_deref()),
        (Some("/user:/layers/a/x/bin"), Some("1"))
    );
    assert_eq!(value(1, "CNB_LAYERS_DIR").as_deref(), Some("/layers/b"));
}

#[test]
fn unmet_entries_must_have_been_asked_for() {
    check_error(|w, dir| w.write(&format!("{dir}/build.toml"), "[[unmet]]"), "unmet.name is required");
    check_error(
        |w, dir| w.write(&format!("{dir}/build.toml"), "[[unmet]]\nname = 'y'"),
        "unmet.name 'y' must match",
    );
    World::new().build_with(|w, dir| w.write(&format!("{dir}/build.toml"), "[[unmet]]\nname = 'x'")).unwrap();
}

#[test]
fn a_build_that_fails_stops_there() {
    let world = World::new();
    let ran = std::sync::Mutex::new(0);
    let config_error = {
        let run = |_: &Invocation, _: Output<'_>| -> io::Result<Exit> {
            *ran.lock().unwrap() += 1;
            Ok(Exit::Code(3))
        };
        let group = toml::from_str("[[group]]\nid = 'a'\nversion = '1'\napi = '0.12'\n[[group]]\nid = 'b'\nversion = '1'\napi = '0.12'").unwrap();
        let dir = |name: &str| GuestPath::new(name);
        let config = Config {
            platform_api: PlatformApi::LATEST,
            app: dir("/workspace"),
            layers: dir("/layers"),
            buildpacks: dir("/bp"),
            platform: dir("/platform"),
            build_config: dir("/config"),
            scratch: dir("/tmp"),
            group,
            plan: toml::from_str("").unwrap(),
            target: Target::default(),
            exec_env: ExecEnv::default(),
            env: Env::new(),
        };
        build(&config, &world.root, &run, &|_| {}).unwrap_err()
    };
    assert_eq!(config_error.to_string(), "buildpack `a@1` failed to build: exit status 3");
    assert_eq!(*ran.lock().unwrap(), 1);
    assert_eq!(world.root.list(&GuestPath::new("/tmp")).unwrap(), []);
}
