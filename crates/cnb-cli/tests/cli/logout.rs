//! `cnb logout`, which needs no registry.

use crate::cnb::{Cnb, Transcript, refuse};

const LOGINS: &str =
    r#"{"auths": {"r.io": {"auth": "bWU6cGFzcw=="}, "https://index.docker.io/v1/": {}, "s.io": {}}}"#;

fn said(stderr: impl Into<String>) -> Transcript {
    Transcript { code: 0, stdout: String::new(), stderr: stderr.into() }
}

#[test]
fn a_login_is_forgotten_and_the_others_are_not() {
    let cnb = Cnb::new();
    cnb.file("logins.json", LOGINS);
    let logout = |registry: &str| cnb.run(&format!("logout {registry} --authfile logins.json"));
    assert_eq!(logout("https://r.io/v2/"), said("Logged out of r.io\n"));
    assert_eq!(logout("r.io"), said("There is no login for r.io in `$TMP/app/logins.json`\n"));
    assert_eq!(logout(""), said("Logged out of docker.io\n"));
    let left = fs_err::read_to_string(cnb.app().join("logins.json")).unwrap();
    assert_eq!(left, "{\n\t\"auths\": {\n\t\t\"s.io\": {}\n\t}\n}\n");
}

#[test]
fn all_logins_of_a_file_are_forgotten_at_once() {
    let cnb = Cnb::new();
    cnb.file("logins.json", LOGINS);
    let logout = || cnb.run("logout --all --authfile logins.json");
    assert_eq!(logout(), said("Logged out of all registries in `$TMP/app/logins.json`\n"));
    assert_eq!(logout(), said("There are no logins in `$TMP/app/logins.json`\n"));
}

#[test]
fn credentials_that_are_left_elsewhere_are_named() {
    let cnb = Cnb::new();
    cnb.file(".docker/config.json", LOGINS);
    cnb.file("run/containers/auth.json", LOGINS);
    let (home, run) = (cnb.app(), cnb.app().join("run"));
    let env = [("HOME", home.as_path()), ("XDG_RUNTIME_DIR", run.as_path())];
    assert_eq!(
        cnb.run_with("logout r.io", env),
        said(
            "Logged out of r.io\n\
             Warning: `$TMP/app/run/containers/auth.json` still has credentials for it; \
             `cnb logout r.io --authfile $TMP/app/run/containers/auth.json` removes them\n"
        )
    );
}

#[test]
fn what_is_no_registry_is_refused() {
    refuse("logout r.io/me", "error: `r.io/me` is not a registry\n\nhint: name the registry alone: `r.io`\n");
    refuse(
        "logout me",
        "error: `me` is not a registry\n\n\
         hint: write its host, and its port if it has one: `registry.example.com:5000`\n",
    );
    refuse("logout -a", "error: the option `-a` is spelled differently here\n\nhint: use `--all`\n");
}
