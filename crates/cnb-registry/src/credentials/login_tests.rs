//! What logging in and out leaves in files and with helpers.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use cnb_fs::HostPath;
use cnb_spec::env::Env;
use cnb_testkit::program;
use serde_json::{Value, json};

use super::login::{Kept, LoggedIn, Login, LoginFile, logged_in, registry};
use super::{Auth, Credentials, CredentialsError, Secret};

/// A home of our own, and an environment that knows no other.
struct World {
    folder: tempfile::TempDir,
    env: Env,
}

const DOCKER: &str = "home/.docker/config.json";
const PODMAN: &str = "home/.config/containers/auth.json";

impl World {
    fn new() -> Self {
        let mut world = Self { folder: tempfile::tempdir().unwrap(), env: Env::new() };
        for (name, value) in [("HOME", "home"), ("XDG_RUNTIME_DIR", "run")] {
            world.set(name, value);
        }
        let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
        world.env.insert("PATH".into(), path.into());
        world
    }

    fn set(&mut self, name: &str, value: &str) {
        let value = self.path(value).into_os_string();
        self.env.insert(name.into(), value);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs_err::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs_err::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> Value {
        serde_json::from_slice(&fs_err::read(self.path(name)).unwrap()).unwrap()
    }

    /// Makes a helper that notes what it is told in `told`, and does `script`.
    fn helper(&self, name: &str, script: &str) {
        let told = self.path("told");
        let text = format!("#!/bin/sh\necho \"{name} $1 $(cat)\" >> {}\n{script}\n", told.display());
        program(&self.path(&format!("bin/docker-credential-{name}")), &text).unwrap();
    }

    fn told(&self) -> String {
        fs_err::read_to_string(self.path("told")).unwrap_or_default()
    }

    fn file(&self) -> LoginFile {
        LoginFile::choose(&self.env, None).unwrap()
    }

    fn chosen(&self) -> PathBuf {
        self.file().path().strip_prefix(self.folder.path()).unwrap().to_path_buf()
    }

    fn auth(&self, image: &str) -> Auth {
        Credentials::from_env(&self.env).unwrap().header_for(&image.parse().unwrap()).unwrap()
    }
}

fn me(password: &str) -> Login {
    Login::Password { user: "me".to_owned(), password: Secret::new(password) }
}

fn token() -> Login {
    Login::IdentityToken(Secret::new("t"))
}

#[test]
fn the_file_is_the_one_that_is_named_or_dockers_or_an_existing_one_of_podman() {
    let mut world = World::new();
    assert_eq!(world.chosen(), PathBuf::from(DOCKER));
    world.write(PODMAN, "{}");
    assert_eq!(world.chosen(), PathBuf::from(PODMAN));
    world.write("run/containers/auth.json", "{}");
    assert_eq!(world.chosen(), PathBuf::from("run/containers/auth.json"));
    world.write(DOCKER, "{}");
    assert_eq!(world.chosen(), PathBuf::from(DOCKER));
    world.set("DOCKER_CONFIG", "d");
    assert_eq!(world.chosen(), PathBuf::from("run/containers/auth.json"));
    world.set("REGISTRY_AUTH_FILE", "named.json");
    assert_eq!(world.chosen(), PathBuf::from("named.json"));
    let authfile = HostPath::absolute("/authfile.json");
    assert_eq!(LoginFile::choose(&world.env, Some(&authfile)).unwrap().path(), authfile.as_path());
}

#[test]
fn without_a_home_the_user_has_to_name_a_file() {
    let mut env = World::new().env;
    env.remove(std::ffi::OsStr::new("HOME"));
    let error = LoginFile::choose(&env, None).unwrap_err();
    assert!(matches!(error, CredentialsError::NoPlace), "{error:?}");
    assert_eq!(error.hint().as_deref(), Some("name a file with `--authfile`"));
}

#[test]
fn what_is_kept_is_found_again() {
    let world = World::new();
    for (image, login) in [("r.io/app", me("p:a:ss")), ("nginx", me("pass")), ("[::1]:5000/app", token())] {
        let registry = image.parse::<cnb_spec::image_ref::ImageRef>().unwrap().registry().to_owned();
        let kept = world.file().store(&registry, &login).unwrap();
        assert_eq!(kept, Kept::File(world.path(DOCKER)));
        assert_eq!(world.auth(image), login.auth());
    }
    assert!(world.file().erase("index.docker.io").unwrap());
    assert_eq!((world.auth("nginx"), world.auth("r.io/app")), (Auth::Anonymous, me("p:a:ss").auth()));
}

#[test]
fn docker_and_podman_find_what_is_kept() {
    let world = World::new();
    world.file().store("index.docker.io", &me("pass")).unwrap();
    world.file().store("r.io", &token()).unwrap();
    let expected = json!({"auths": {
        "https://index.docker.io/v1/": {"auth": "bWU6cGFzcw=="},
        "r.io": {"auth": "PHRva2VuPjo=", "identitytoken": "t"}}});
    assert_eq!(world.read(DOCKER), expected);
    let world = World::new();
    world.write(PODMAN, "{}");
    world.file().store("index.docker.io", &me("pass")).unwrap();
    assert_eq!(world.read(PODMAN), json!({"auths": {"docker.io": {"auth": "bWU6cGFzcw=="}}}));
}

#[test]
fn everything_else_in_the_file_stays() {
    let world = World::new();
    world.write(
        DOCKER,
        r#"{"detachKeys": "ctrl-e", "auths": {"a.io": {"auth": "eDp5", "email": "x"}, "r.io/team": {"auth": "eDp5"},
            "https://r.io/v1/": {"auth": "b2xkOm9sZA=="}}, "proxies": {"default": {"noProxy": "b.io"}}, "n": 1.5}"#,
    );
    world.file().store("r.io", &me("pass")).unwrap();
    let mut expected = json!({
        "detachKeys": "ctrl-e", "n": 1.5, "proxies": {"default": {"noProxy": "b.io"}},
        "auths": {"a.io": {"auth": "eDp5", "email": "x"}, "r.io/team": {"auth": "eDp5"},
            "r.io": {"auth": "bWU6cGFzcw=="}}});
    assert_eq!(world.read(DOCKER), expected);
    assert!(world.file().erase("r.io").unwrap());
    expected["auths"].as_object_mut().unwrap().remove("r.io");
    assert_eq!(world.read(DOCKER), expected);
}

#[test]
fn the_file_is_its_owners_alone_and_a_link_stays_a_link() {
    let world = World::new();
    world.write("dotfiles/config.json", "{}");
    fs_err::create_dir_all(world.path("home/.docker")).unwrap();
    fs_err::os::unix::fs::symlink("../../dotfiles/config.json", world.path(DOCKER)).unwrap();
    world.file().store("r.io", &me("pass")).unwrap();
    assert!(fs_err::symlink_metadata(world.path(DOCKER)).unwrap().is_symlink());
    assert_eq!(fs_err::metadata(world.path("dotfiles/config.json")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs_err::read_dir(world.path("dotfiles")).unwrap().count(), 1);
    fs_err::remove_file(world.path("dotfiles/config.json")).unwrap();
    world.file().store("r.io", &me("pass")).unwrap();
    assert_eq!(world.auth("r.io/app"), me("pass").auth());
    let world = World::new();
    world.file().store("r.io", &me("pass")).unwrap();
    assert_eq!(fs_err::metadata(world.path("home/.docker")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_link_to_itself_is_an_error() {
    let mut world = World::new();
    fs_err::os::unix::fs::symlink("loop", world.path("loop")).unwrap();
    world.set("REGISTRY_AUTH_FILE", "loop");
    let error = world.file().store("r.io", &me("pass")).unwrap_err();
    assert!(error.to_string().starts_with("failed to follow `"), "{error}");
}

#[test]
fn a_file_that_makes_no_sense_is_never_replaced() {
    let world = World::new();
    world.write(DOCKER, r#"{"Auths": {"a.io": {"auth": "eDp5"}}}"#);
    world.file().store("r.io", &me("pass")).unwrap();
    let expected = json!({"Auths": {"a.io": {"auth": "eDp5"}, "r.io": {"auth": "bWU6cGFzcw=="}}});
    assert_eq!(world.read(DOCKER), expected, "Go programs do not mind the case of keys");
    for text in ["{", r#"{"auths": []}"#, r#"{"credHelpers": 1}"#] {
        world.write(DOCKER, text);
        for error in [
            world.file().store("r.io", &me("pass")).unwrap_err(),
            world.file().erase("r.io").unwrap_err(),
            world.file().erase_all().unwrap_err(),
        ] {
            assert!(matches!(error, CredentialsError::Malformed { .. }), "{error:?}");
        }
        assert_eq!(fs_err::read_to_string(world.path(DOCKER)).unwrap(), text);
    }
}

#[test]
fn a_helper_keeps_the_secret_and_the_file_keeps_none() {
    let world = World::new();
    world.write(
        DOCKER,
        r#"{"credsStore": "all", "credHelpers": {"r.io": "one"}, "auths": {"r.io": {"auth": "eDp5"}}}"#,
    );
    world.helper("one", "");
    world.helper("all", "");
    assert_eq!(world.file().store("r.io", &me("pass")).unwrap(), Kept::Helper("one".to_owned()));
    assert_eq!(world.file().store("index.docker.io", &token()).unwrap(), Kept::Helper("all".to_owned()));
    assert_eq!(
        world.told(),
        "one store {\"Secret\":\"pass\",\"ServerURL\":\"r.io\",\"Username\":\"me\"}\n\
         all store {\"Secret\":\"t\",\"ServerURL\":\"https://index.docker.io/v1/\",\"Username\":\"<token>\"}\n"
    );
    let expected = json!({"credsStore": "all", "credHelpers": {"r.io": "one"},
        "auths": {"r.io": {}, "https://index.docker.io/v1/": {}}});
    assert_eq!(world.read(DOCKER), expected);
}

#[test]
fn a_helper_that_fails_leaves_the_file_as_it_was() {
    let world = World::new();
    let text = r#"{"credsStore": "bad", "auths": {"r.io": {"auth": "eDp5"}}}"#;
    world.write(DOCKER, text);
    world.helper("bad", "echo locked >&2; exit 1");
    for error in
        [world.file().store("r.io", &me("hunter2")).unwrap_err(), world.file().erase("r.io").unwrap_err()]
    {
        assert!(matches!(error, CredentialsError::Helper { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    assert_eq!(fs_err::read_to_string(world.path(DOCKER)).unwrap(), text);
}

#[test]
fn logging_out_forgets_every_spelling() {
    let world = World::new();
    let text = r#"{"auths": {"docker.io": {"auth": "eDp5"}, "https://index.docker.io/v1/": {"auth": "eDp5"},
        "docker.io/me": {"auth": "eDp5"}, "index.docker.io": {}}}"#;
    world.write(DOCKER, text);
    assert!(world.file().erase("index.docker.io").unwrap());
    assert_eq!(world.read(DOCKER), json!({"auths": {"docker.io/me": {"auth": "eDp5"}}}));
    assert!(!world.file().erase("index.docker.io").unwrap());
    assert!(!World::new().file().erase("r.io").unwrap());
    assert!(!World::new().path(DOCKER).exists());
}

#[test]
fn logging_out_asks_the_helper_for_every_spelling_too() {
    let world = World::new();
    world.write(DOCKER, r#"{"credsStore": "all", "auths": {"https://r.io/v1/": {}, "r.io": {}}}"#);
    world.helper("all", "");
    assert!(world.file().erase("r.io").unwrap());
    assert_eq!(world.told(), "all erase https://r.io/v1/\nall erase r.io\n");
    world.helper("all", "echo credentials not found in native keychain; exit 1");
    assert!(!world.file().erase("r.io").unwrap());
}

#[test]
fn logging_out_everywhere_leaves_the_settings() {
    let world = World::new();
    let text = r#"{"credHelpers": {"h.io": "one"}, "auths": {"r.io": {"auth": "eDp5"}, "r.io/a": {"auth": "eDp5"}}}"#;
    world.write(DOCKER, text);
    world.helper("one", "");
    assert!(world.file().erase_all().unwrap());
    assert_eq!(world.read(DOCKER), json!({"credHelpers": {"h.io": "one"}, "auths": {}}));
    assert_eq!(world.told(), "one erase h.io\n");
    assert!(!World::new().file().erase_all().unwrap());
}

#[test]
fn one_can_ask_who_one_is_and_who_says_so() {
    let mut world = World::new();
    let who = |world: &World| logged_in(&Credentials::from_env(&world.env).unwrap(), "r.io").unwrap();
    assert_eq!(who(&world), None);
    world.file().store("r.io", &me("pass")).unwrap();
    let place = world.path(DOCKER).display().to_string();
    assert_eq!(who(&world), Some(LoggedIn { user: Some("me".to_owned()), place }));
    world.env.insert("CNB_REGISTRY_AUTH".into(), r#"{"r.io": "Bearer t"}"#.into());
    assert_eq!(who(&world), Some(LoggedIn { user: None, place: "CNB_REGISTRY_AUTH".to_owned() }));
}

#[test]
fn a_registry_is_understood_in_every_spelling_and_nothing_else_is() {
    for (typed, expected) in [
        ("r.io", Some("r.io")),
        ("https://r.io:5000/v2/", Some("r.io:5000")),
        ("localhost", Some("localhost")),
        ("docker.io", Some("index.docker.io")),
        ("https://index.docker.io/v1/", Some("index.docker.io")),
        ("r.io/me", None),
        ("me", None),
        ("", None),
        ("r io.x", None),
        ("r.io:x", None),
    ] {
        assert_eq!(registry(typed).as_deref(), expected, "{typed}");
    }
}
