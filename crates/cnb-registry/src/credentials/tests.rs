//! Which source answers for which image.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use cnb_testkit::program;

use super::*;

/// A home of our own, and an environment that knows no other.
struct World {
    folder: tempfile::TempDir,
    env: Env,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { folder, env: Env::new() };
        for (name, value) in [("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("PATH", "bin")] {
            let value = world.path(value).into_os_string();
            world.env.insert(name.into(), value);
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        self
    }

    /// Writes a file in which each registry or repository has `password`.
    fn login(self, name: &str, keys: &[&str], password: &str) -> Self {
        let text = auths(keys, password);
        self.file(name, &text)
    }

    fn set(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Makes a helper that does `script` with the registry in `$r`, and notes each call in `calls`.
    fn helper(self, name: &str, script: &str) -> Self {
        let calls = self.path("calls");
        let text = format!("#!/bin/sh\nread r\necho \"$1 $r\" >> {}\n{script}\n", calls.display());
        program(&self.path("bin").join(format!("docker-credential-{name}")), &text).unwrap();
        self
    }

    fn calls(&self) -> String {
        fs_err::read_to_string(self.path("calls")).unwrap_or_default()
    }

    fn credentials(&self) -> Credentials {
        Credentials::from_env(&self.env).unwrap()
    }

    fn ask(&self, image: &str) -> Result<String, CredentialsError> {
        ask(&self.credentials(), image)
    }
}

fn auths(keys: &[&str], password: &str) -> String {
    let entries: Vec<String> = keys
        .iter()
        .map(|key| format!(r#""{key}": {{"username": "me", "password": "{password}"}}"#))
        .collect();
    format!(r#"{{"auths": {{{}}}}}"#, entries.join(","))
}

/// Returns the password, or what else is known for an image.
fn ask(credentials: &Credentials, image: &str) -> Result<String, CredentialsError> {
    Ok(match credentials.header_for(&image.parse().unwrap())? {
        Auth::Anonymous => "anonymous".to_owned(),
        Auth::Basic { password, .. } => password.expose().to_owned(),
        Auth::IdentityToken(token) => format!("identity {}", token.expose()),
        Auth::Bearer(header) | Auth::Header(header) => header.expose().to_owned(),
    })
}

const DOCKER: &str = "home/.docker/config.json";
const RUNTIME: &str = "run/containers/auth.json";
const CONFIG: &str = "home/.config/containers/auth.json";

#[test]
fn nobody_is_known_anywhere_by_default() {
    assert_eq!(ask(&Credentials::default(), "r.io/app").unwrap(), "anonymous");
    assert_eq!(World::new().ask("r.io/app").unwrap(), "anonymous");
}

#[test]
fn the_first_source_that_knows_something_answers() {
    let world = World::new();
    let named = world.path("named.json");
    let world = world.login(CONFIG, &["r.io"], "config");
    assert_eq!(world.ask("r.io/app").unwrap(), "config");
    let world = world.login(RUNTIME, &["r.io"], "runtime");
    assert_eq!(world.ask("r.io/app").unwrap(), "runtime");
    let world = world.login(DOCKER, &["r.io"], "docker");
    assert_eq!(world.ask("r.io/app").unwrap(), "docker");
    let world = world.set("DOCKER_AUTH_CONFIG", auths(&["r.io"], "docker variable"));
    assert_eq!(world.ask("r.io/app").unwrap(), "docker variable");
    let world = world.login("named.json", &["r.io"], "named").set("REGISTRY_AUTH_FILE", &named);
    assert_eq!(world.ask("r.io/app").unwrap(), "named");
    let world = world.set("CNB_REGISTRY_AUTH", r#"{"r.io": "Bearer variable"}"#);
    assert_eq!(world.ask("r.io/app").unwrap(), "variable");
    let world = world.login("authfile.json", &["r.io"], "authfile");
    let credentials = world.credentials().with_file(HostPath::absolute(world.path("authfile.json")));
    assert_eq!(ask(&credentials, "r.io/app").unwrap(), "authfile");
    assert_eq!(ask(&credentials, "other.io/app").unwrap(), "anonymous");
}

#[test]
fn docker_config_and_xdg_config_home_are_elsewhere_where_they_are_set() {
    let world = World::new().login(DOCKER, &["r.io"], "no").login(CONFIG, &["r.io"], "no");
    let (docker, xdg) = (world.path("d"), world.path("x"));
    let world = world.set("DOCKER_CONFIG", docker).set("XDG_CONFIG_HOME", xdg);
    assert_eq!(world.ask("r.io/app").unwrap(), "anonymous");
    let world = world.login("x/containers/auth.json", &["r.io"], "podman");
    assert_eq!(world.ask("r.io/app").unwrap(), "podman");
    let world = world.login("d/config.json", &["r.io"], "docker");
    assert_eq!(world.ask("r.io/app").unwrap(), "docker");
}

#[test]
fn the_longest_key_that_fits_the_repository_answers() {
    let text = r#"{"auths": {
        "r.io": {"username": "me", "password": "registry"},
        "r.io/team": {"username": "me", "password": "team"},
        "r.io/team/app": {"username": "me", "password": "app"}}}"#;
    let world = World::new().file(RUNTIME, text);
    for (image, expected) in [
        ("r.io/other", "registry"),
        ("r.io/teams/app", "registry"),
        ("r.io/team/other", "team"),
        ("r.io/team/app", "app"),
        ("r.io/team/app/sub:1", "app"),
        ("r.io:5000/team/app", "anonymous"),
    ] {
        assert_eq!(world.ask(image).unwrap(), expected, "{image}");
    }
}

#[test]
fn a_key_for_another_repository_gives_way_to_the_next_source() {
    let world = World::new().login(DOCKER, &["r.io/other"], "no").login(RUNTIME, &["r.io"], "yes");
    assert_eq!(world.ask("r.io/app").unwrap(), "yes");
}

#[test]
fn docker_hub_is_known_by_dockers_and_by_podmans_name() {
    for key in ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "docker.io/library"] {
        assert_eq!(World::new().login(DOCKER, &[key], "hub").ask("nginx").unwrap(), "hub", "{key}");
    }
}

#[test]
fn a_helper_answers_before_the_file_that_names_it() {
    let file = r#"{"credsStore": "all", "credHelpers": {"one.io": "one"}, "auths": {
        "one.io": {"username": "me", "password": "file"}, "r.io": {"username": "me", "password": "file"}}}"#;
    let world = World::new()
        .file(DOCKER, file)
        .helper("one", r#"echo '{"Username": "me", "Secret": "one"}'"#)
        .helper("all", r#"echo '{"Username": "<token>", "Secret": "t"}'"#);
    assert_eq!(world.ask("one.io/app").unwrap(), "one");
    assert_eq!(world.ask("r.io/app").unwrap(), "identity t");
    assert_eq!(world.ask("nginx").unwrap(), "identity t");
    assert_eq!(world.calls(), "get one.io\nget r.io\nget https://index.docker.io/v1/\n");
}

#[test]
fn a_helper_that_knows_nothing_gives_way_to_the_file_and_to_other_files() {
    let file =
        r#"{"credsStore": "all", "auths": {"r.io": {"username": "me", "password": "file"}, "x.io": {}}}"#;
    let world = World::new()
        .file(DOCKER, file)
        .login(RUNTIME, &["x.io"], "podman")
        .helper("all", "echo credentials not found in native keychain; exit 1");
    assert_eq!(world.ask("r.io/app").unwrap(), "file");
    assert_eq!(world.ask("x.io/app").unwrap(), "podman");
}

#[test]
fn a_helper_that_fails_is_an_error_with_what_it_said() {
    let world = World::new()
        .file(DOCKER, r#"{"credsStore": "bad", "credHelpers": {"x.io": "missing"}}"#)
        .helper("bad", "echo hunter2; echo locked >&2; exit 1");
    let error = world.ask("r.io/app").unwrap_err();
    let path = world.path(DOCKER).display().to_string();
    assert_eq!(
        error.to_string(),
        format!("the credential helper `docker-credential-bad`, which `{path}` names, failed for `r.io`")
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "it ended with exit status: 1: locked");
    let hint = world.ask("x.io/app").unwrap_err().hint().unwrap();
    assert!(hint.starts_with("install `docker-credential-missing`, or take `missing` out"), "{hint}");
}

#[test]
fn nothing_is_read_before_it_is_asked_for() {
    let world = World::new().file(DOCKER, "{").set("CNB_REGISTRY_AUTH", r#"{"r.io": "Basic x"}"#);
    assert_eq!(world.ask("r.io/app").unwrap(), "Basic x");
    let world = World::new().login(DOCKER, &["r.io"], "yes").file(RUNTIME, "{");
    assert_eq!(world.ask("r.io/app").unwrap(), "yes");
    assert_eq!(World::new().file(DOCKER, r#"{"credsStore": "all"}"#).calls(), "");
}

#[test]
fn a_file_that_makes_no_sense_is_an_error_that_names_it() {
    let world = World::new().file(DOCKER, "{");
    let error = world.ask("r.io/app").unwrap_err();
    let path = world.path(DOCKER).display().to_string();
    let expected = format!(
        "failed to parse the credentials in `{path}`: EOF while parsing an object at line 1 column 1"
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        error.hint().unwrap(),
        format!("correct `{path}`, or remove it and log in again with `cnb login`")
    );
    let error = World::new().set("DOCKER_AUTH_CONFIG", "hunter2").ask("r.io/app").unwrap_err();
    assert!(error.to_string().contains("`DOCKER_AUTH_CONFIG`: expected value"), "{error}");
}

#[test]
fn a_file_of_the_command_line_must_be_there_and_others_need_not() {
    let world = World::new();
    let missing = world.path("missing.json");
    let credentials = world.credentials().with_file(HostPath::absolute(&missing));
    let error = ask(&credentials, "r.io/app").unwrap_err();
    let path = missing.display();
    assert_eq!(error.to_string(), format!("failed to read the credentials in `{path}`"));
    assert_eq!(error.hint().unwrap(), format!("`cnb login --authfile {path}` makes it"));
    let world = world.set("REGISTRY_AUTH_FILE", missing).file(&format!("{DOCKER}/folder"), "");
    assert_eq!(world.ask("r.io/app").unwrap(), "anonymous");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let world = World::new();
    fs_err::create_dir_all(world.path("home/.docker")).unwrap();
    // A file that is there, and whose first byte nobody can read.
    fs_err::os::unix::fs::symlink("/proc/self/mem", world.path(DOCKER)).unwrap();
    let error = world.ask("r.io/app").unwrap_err();
    assert!(matches!(error, CredentialsError::Read { .. }), "{error:?}");
    assert!(error.hint().unwrap().starts_with("allow this user to read it"), "{:?}", error.hint());
}

#[test]
fn a_file_that_is_out_of_sight_is_none() {
    let world = World::new().file("home", "no folder");
    assert_eq!(world.ask("r.io/app").unwrap(), "anonymous");
    let world = World::new().login(DOCKER, &["r.io"], "x");
    let close = |mode| std::fs::Permissions::from_mode(mode);
    fs_err::set_permissions(world.path("home"), close(0)).unwrap();
    // To root, nothing is out of sight.
    let expected = if rustix::process::geteuid().is_root() { "x" } else { "anonymous" };
    assert_eq!(world.ask("r.io/app").unwrap(), expected);
    fs_err::set_permissions(world.path("home"), close(0o755)).unwrap();
}

#[test]
fn what_is_resolved_needs_neither_files_nor_helpers() {
    let images = ["r.io/app:1", "r.io/team/run", "h.io/cache"].map(|i| i.parse::<ImageRef>().unwrap());
    let world = World::new()
        .file(DOCKER, r#"{"credHelpers": {"h.io": "one"}}"#)
        .login(RUNTIME, &["r.io", "r.io/team", "unasked.io"], "podman")
        .helper("one", r#"echo '{"Username": "me", "Secret": "one"}'"#)
        .set("CNB_REGISTRY_AUTH", r#"{"v.io": "Basic x"}"#);
    let resolved = world.credentials().resolved_for(&images.each_ref()).unwrap();
    assert_eq!(resolved.problems().count(), 0);
    fs_err::remove_dir_all(world.path("home")).unwrap();
    fs_err::remove_dir_all(world.path("run")).unwrap();
    let again = resolved.resolved_for(&images.each_ref()).unwrap();
    for credentials in [resolved, again] {
        for (image, expected) in [
            ("r.io/app", "podman"),
            ("r.io/mirror", "podman"),
            ("h.io/cache", "one"),
            ("v.io/app", "Basic x"),
            ("unasked.io/app", "anonymous"),
        ] {
            assert_eq!(ask(&credentials, image).unwrap(), expected, "{image}");
        }
    }
    assert_eq!(world.calls(), "get h.io\n");
}

#[test]
fn what_cannot_be_used_is_passed_over_when_resolving_and_is_told_once() {
    let images = ["r.io/app", "s.io/app"].map(|i| i.parse::<ImageRef>().unwrap());
    let world = World::new().file(DOCKER, "{").login(RUNTIME, &["r.io"], "podman");
    let resolved = world.credentials().resolved_for(&images.each_ref()).unwrap();
    assert_eq!(ask(&resolved, "r.io/app").unwrap(), "podman");
    let problems: Vec<_> = resolved.problems().map(ToString::to_string).collect();
    assert!(problems.len() == 1 && problems[0].contains(DOCKER), "{problems:?}");
    let credentials = world.credentials().with_file(HostPath::absolute(world.path(DOCKER)));
    assert!(credentials.resolved_for(&images.each_ref()).is_err());
}

#[test]
fn an_unknown_scheme_is_an_error_when_it_is_needed_and_not_before() {
    let image: ImageRef = "r.io/app".parse().unwrap();
    let world = World::new().set("CNB_REGISTRY_AUTH", r#"{"r.io": "Digest hunter2"}"#);
    let resolved = world.credentials().resolved_for(&[&image]).unwrap();
    let error = ask(&resolved, "r.io/app").unwrap_err();
    assert!(matches!(error, CredentialsError::UnknownScheme { .. }), "{error:?}");
    let world = World::new().set("CNB_REGISTRY_AUTH", "[]");
    assert!(matches!(Credentials::from_env(&world.env), Err(CredentialsError::Environment { .. })));
}

#[test]
fn credentials_do_not_show_their_secrets() {
    let image: ImageRef = "r.io/app".parse().unwrap();
    let world = World::new()
        .login(DOCKER, &["r.io"], "hunter2")
        .set("CNB_REGISTRY_AUTH", r#"{"v.io": "Basic hunter2"}"#)
        .set("DOCKER_AUTH_CONFIG", auths(&["r.io"], "hunter2"))
        .set("TOKEN", "hunter2");
    let credentials = world.credentials();
    let resolved = credentials.resolved_for(&[&image]).unwrap();
    let shown = format!("{credentials:?} {resolved:?} {:?}", resolved.header_for(&image));
    assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
}
