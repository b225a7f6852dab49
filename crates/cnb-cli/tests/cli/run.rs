//! `cnb run`, as far as it goes without running.

use crate::cnb::{Cnb, refuse};

#[test]
fn an_image_that_is_not_there_is_named() {
    let found = Cnb::new().run("run nowhere");
    assert_eq!((found.code, found.stdout.as_str()), (1, ""));
    assert!(found.stderr.contains("nowhere"), "{}", found.stderr);
}

#[test]
fn ports_are_numbers_and_are_not_mapped() {
    refuse("run app -p http", "error: invalid port `http`\n\nhint: write a number from 1 to 65535\n");
    refuse(
        "run app -p 80:8080",
        "error: ports cannot be mapped: `80:8080`\n\n\
         hint: the application has the network of this machine; `--port 80` tells it to listen there\n",
    );
}

#[test]
fn a_volume_says_where_it_appears() {
    refuse(
        "run app -v data",
        "error: invalid volume `data`: it does not say where the folder appears\n\n\
         hint: write `HOST:GUEST`, `HOST:GUEST:ro` or `HOST:GUEST:rw`, where GUEST is an absolute path\n",
    );
}

#[test]
fn options_of_engines_are_answered() {
    refuse(
        "run --publish 80:80 app",
        "error: the option `--publish` is spelled differently here\n\nhint: use `--port PORT`\n",
    );
    refuse(
        "run -d app",
        "error: the option `-d` is not available in this version\n\n\
         hint: start it in the background with the shell: `cnb run IMAGE &`\n",
    );
}

#[test]
fn arguments_without_dashes_before_them_are_refused() {
    refuse(
        "run app server",
        "error: the argument `server` is one too many\n\n\
         hint: arguments for the process come after `--`: `cnb run IMAGE -- server`\n",
    );
}
