//! `cnb copy`, `cnb inspect` and `cnb rebase` as far as no image is needed, and `config.toml`.

use crate::cnb::{Cnb, refuse};

#[test]
fn a_place_that_is_none_is_answered_with_what_may_have_been_meant() {
    refuse(
        "copy docker:/app/web store:web",
        "error: `docker:/app/web` names no image: a name does not begin with `/` or `.`\n\nhint: write \
         `registry:app/web` for the image of a registry, or `docker:app/web` for that of the engine\n",
    );
    refuse("copy app oci:", "error: `oci:` names no image: the path is missing\n\nhint: write `oci:DIR`\n");
}

#[test]
fn a_platform_that_is_none_is_refused() {
    refuse(
        "copy oci:x oci:y --platform linux",
        "error: invalid platform `linux`\n\nhint: write `OS/ARCH` or `OS/ARCH/VARIANT`: `linux/amd64`, \
         `linux/arm/v7`\n",
    );
}

#[test]
fn what_is_not_there_is_named_and_nothing_is_made() {
    let cnb = Cnb::new();
    for line in ["copy oci:nowhere store:app", "copy docker-archive:nowhere.tar oci:out", "rebase nowhere"] {
        let found = cnb.run(line);
        assert_eq!((found.code, found.stdout.as_str()), (1, ""), "{line}");
        assert!(found.stderr.contains("nowhere"), "{}", found.stderr);
    }
    assert!(!cnb.app().join("out").exists());
    assert!(!cnb.app().join("nowhere").exists(), "reading makes no layout");
    assert_eq!(cnb.run("images --quiet").stdout, "");
}

#[test]
fn a_short_name_asks_no_registry() {
    let found = Cnb::new().run("inspect nowhere");
    assert!(found.stderr.contains("`registry:nowhere` means the image on Docker Hub"), "{}", found.stderr);
}

#[test]
fn settings_are_read_and_mistakes_in_them_named() {
    let cnb = Cnb::new();
    let config = cnb.app().with_file_name("home").join("config.toml");
    fs_err::create_dir_all(config.parent().unwrap()).unwrap();
    fs_err::write(&config, "insecure-registry = []\n").unwrap();
    let found = cnb.run("inspect nowhere");
    let warning = "Warning: `insecure-registry` means nothing in `$TMP/home/config.toml`\n";
    assert!(found.stderr.starts_with(warning), "{}", found.stderr);
    fs_err::write(&config, "registry-mirrors = 1\n").unwrap();
    let found = cnb.run("inspect nowhere");
    assert_eq!(found.code, 1);
    assert!(found.stderr.contains("failed to parse `$TMP/home/config.toml`: line 1: "), "{}", found.stderr);
    assert!(
        found.stderr.ends_with("hint: `docs/config.md` describes what may be in it\n"),
        "{}",
        found.stderr
    );
}

#[test]
fn commands_of_engines_lead_to_copies() {
    refuse(
        "push app",
        "error: the command `push` is spelled differently here\n\nhint: use `cnb copy NAME registry:NAME`\n",
    );
}
