//! `cnb images`, `cnb inspect`, `cnb rm` and `cnb gc` on a store that is empty.

use crate::cnb::{Cnb, Transcript, refuse};

#[test]
fn an_empty_store_lists_nothing_and_says_how_to_fill_it() {
    let expected = Transcript {
        code: 0,
        stdout: String::new(),
        stderr: "No images yet; `cnb build . --image myapp` makes one\n".to_owned(),
    };
    assert_eq!(Cnb::new().run("images"), expected);
}

#[test]
fn an_empty_store_is_an_empty_list_to_programs() {
    let found = |line: &str| Cnb::new().run(line);
    let expected = |stdout: &str| Transcript { code: 0, stdout: stdout.to_owned(), stderr: String::new() };
    assert_eq!(found("images --json"), expected("[]\n"));
    assert_eq!(found("images --quiet"), expected(""));
    assert_eq!(found("gc --json"), expected("{\n  \"removed\": 0,\n  \"bytes\": 0\n}\n"));
}

#[test]
fn an_empty_store_has_nothing_to_collect() {
    let expected = Transcript { code: 0, stdout: String::new(), stderr: "Nothing to remove\n".to_owned() };
    assert_eq!(Cnb::new().run("gc"), expected);
}

#[test]
fn an_image_that_is_not_there_is_named() {
    for line in ["inspect nowhere", "inspect nowhere --json", "rm nowhere"] {
        let found = Cnb::new().run(line);
        assert_eq!((found.code, found.stdout.as_str()), (1, ""), "{line}");
        assert!(found.stderr.starts_with("error: ") && found.stderr.contains("nowhere"), "{}", found.stderr);
    }
}

#[test]
fn each_image_that_cannot_be_removed_is_named() {
    let found = Cnb::new().run("rm first second");
    assert_eq!(found.code, 1);
    assert!(found.stderr.contains("first") && found.stderr.contains("second"), "{}", found.stderr);
}

#[test]
fn a_name_that_is_none_is_refused_before_anything_is_done() {
    let problem = "error: invalid image name `a b`: the repository `a b` may only have lower-case letters, digits and `_`, `-`, `.`, `/`\n";
    let cnb = Cnb::new();
    for command in ["inspect", "rm"] {
        let output = cnb.command().args([command, "a b"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(String::from_utf8(output.stderr).unwrap(), problem);
    }
}

#[test]
fn commands_of_other_programs_are_answered() {
    refuse("rmi app", "error: the command `rmi` is spelled differently here\n\nhint: use `cnb rm`\n");
}
