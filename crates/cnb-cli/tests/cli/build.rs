//! `cnb build`, as far as it goes without building.

use crate::cnb::{Cnb, refuse};

#[test]
fn an_image_needs_a_name_and_the_hint_has_one() {
    refuse(
        "build",
        "error: the image has no name\n\nhint: give it one with `--image`: `cnb build . --image app`\n",
    );
}

#[test]
fn a_name_in_capitals_is_corrected() {
    refuse(
        "build --image MyApp",
        "error: invalid image name `MyApp`: the repository `MyApp` may only have lower-case letters, digits and `_`, \
         `-`, `.`, `/`\n\nhint: write `myapp`\n",
    );
}

#[test]
fn options_of_pack_are_answered() {
    refuse(
        "build --image app --pre-buildpack a",
        "error: the option `--pre-buildpack` is not available in this version\n\n\
         hint: name all buildpacks in their order with `--buildpack`\n",
    );
    refuse(
        "build --image app --pull-policy never",
        "error: the option `--pull-policy` is not needed\n\n\
         hint: leave it out: `--run-image` says where the image is, as in `registry:NAME` or `store:NAME`\n",
    );
    refuse(
        "build app -p .",
        "error: the option `-p` is spelled differently here\n\n\
         hint: name the folder: `cnb build DIR` or `--path DIR`\n",
    );
}

#[test]
fn a_typing_mistake_gets_a_suggestion() {
    let found = Cnb::new().run("build --image app --clear-cash");
    assert_eq!(found.code, 2);
    assert!(
        found.stderr.starts_with("error: unexpected argument '--clear-cash' found\n"),
        "{}",
        found.stderr
    );
    assert!(found.stderr.contains("a similar argument exists: '--clear-cache'"), "{}", found.stderr);
}

#[test]
fn a_choice_that_does_not_exist_is_answered_with_those_that_do() {
    let found = Cnb::new().run("build --image app --isolation container");
    assert_eq!(found.code, 2);
    assert!(found.stderr.contains("[possible values: auto, sandbox, none]"), "{}", found.stderr);
}

#[test]
fn outputs_caches_and_builders_that_are_not_there_yet_are_named() {
    refuse(
        "build --image app --output app.tar",
        "error: invalid output `app.tar`: it does not say what it is\n\n\
         hint: write `docker`, `podman`, `registry:NAME`, `oci:DIR`, `oci-archive:FILE` or `docker-archive:FILE`\n",
    );
    refuse(
        "build --image app --builder paketobuildpacks/builder",
        "error: the builder `paketobuildpacks/builder` is not available in this version\n\n\
         hint: leave `--builder` out: the host is the builder; a base comes with `--run-image oci:DIR`\n",
    );
}

#[test]
fn a_mistake_in_an_environment_file_names_file_and_line() {
    let cnb = Cnb::new();
    cnb.file("vars.env", "# ours\nA=1\nB C=2\n");
    let found = cnb.run("build --image app --env-file vars.env");
    assert_eq!((found.code, found.stdout.as_str()), (2, ""));
    assert_eq!(
        found.stderr,
        "error: invalid environment file `vars.env`, line 3: the name contains white space\n\n\
         hint: each line is `NAME=VALUE`, or `NAME` to take the value that it has here; `#` starts a comment\n"
    );
}

#[test]
fn an_environment_file_that_is_not_there_is_named_with_the_reason() {
    let found = Cnb::new().run("build --image app --env-file nowhere.env");
    assert_eq!((found.code, found.stdout.as_str()), (1, ""));
    let start = "error: failed to read the environment file `nowhere.env`\n  caused by: ";
    assert!(found.stderr.starts_with(start), "{}", found.stderr);
    assert_eq!(found.stderr.matches("No such file or directory").count(), 1, "{}", found.stderr);
}

#[test]
fn an_app_that_is_not_there_is_named() {
    let found = Cnb::new().run("build nowhere --image app");
    assert_eq!((found.code, found.stdout.as_str()), (1, ""));
    assert!(found.stderr.contains("error: ") && found.stderr.contains("nowhere"), "{}", found.stderr);
}

#[test]
fn without_a_place_for_data_the_hint_says_how_to_name_one() {
    let cnb = Cnb::new();
    let output = cnb.command().env_remove("CNB_HOME").args(["build", "-i", "app"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: no place for images and caches: neither CNB_HOME, XDG_DATA_HOME nor HOME is set\n\n\
         hint: set CNB_HOME to a folder that you can write\n"
    );
}
