//! `cnb login` at a registry of our own that wants a user and a password.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::cnb::{Cnb, Transcript, refuse};

/// The header of the user `me` with the password `pass`, in small letters.
const RIGHT: &str = "authorization: basic bwu6cgfzcw==";

/// Starts a registry that takes no other credentials, and returns its name; it ends with the tests.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let name = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            let lines = BufReader::new(&connection).lines().map_while(Result::ok);
            let head: Vec<String> =
                lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
            let answer = if head.iter().any(|line| line == RIGHT) {
                "200 OK\r\n"
            } else {
                "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"ours\"\r\n"
            };
            // A client that has gone wants no answer.
            let _ = write!(connection, "HTTP/1.1 {answer}Content-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    name
}

/// Returns `cnb` with a home of its own.
fn command(cnb: &Cnb, line: &str) -> Command {
    let mut command = cnb.command();
    command.args(line.split_whitespace()).env("HOME", cnb.app()).env("XDG_RUNTIME_DIR", cnb.app());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn piped(cnb: &Cnb, line: &str, input: &str) -> Transcript {
    let mut child = command(cnb, line).stdin(Stdio::piped()).spawn().expect("a program that starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that refuses its arguments reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let folder = cnb.app().display().to_string();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&folder, "$APP");
    Transcript {
        code: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

fn kept(cnb: &Cnb, name: &str) -> Option<String> {
    fs_err::read_to_string(cnb.app().join(name)).ok()
}

#[test]
fn credentials_that_the_registry_takes_are_kept() {
    let (cnb, registry) = (Cnb::new(), registry());
    let found = piped(&cnb, &format!("login {registry} -u me --password-stdin"), "pass\n");
    let stderr = format!(
        "Logged in to {registry}\nThe password is kept in plain text in `$APP/.docker/config.json`; a credential \
         helper, named there as `credsStore`, would keep it safe\n"
    );
    assert_eq!(found, Transcript { code: 0, stdout: String::new(), stderr });
    let expected = format!(
        "{{\n\t\"auths\": {{\n\t\t\"{registry}\": {{\n\t\t\t\"auth\": \"bWU6cGFzcw==\"\n\t\t}}\n\t}}\n}}\n"
    );
    assert_eq!(kept(&cnb, ".docker/config.json"), Some(expected));
}

#[test]
fn credentials_that_the_registry_refuses_are_not_kept_and_not_shown() {
    let (cnb, registry) = (Cnb::new(), registry());
    let found = piped(&cnb, &format!("login {registry} --username me --password-stdin"), "hunter2");
    assert_eq!((found.code, found.stdout.as_str()), (1, ""));
    assert!(found.stderr.starts_with("error: ") && found.stderr.contains(&registry), "{}", found.stderr);
    assert!(found.stderr.contains("\nhint: check the user and the password"), "{}", found.stderr);
    assert!(!found.stderr.contains("hunter2") && !found.stderr.contains("aHVudGVyMg"), "{}", found.stderr);
    assert_eq!(kept(&cnb, ".docker/config.json"), None);
}

#[test]
fn a_login_that_something_else_comes_before_is_pointed_out() {
    let (cnb, registry) = (Cnb::new(), registry());
    let line = format!("login {registry} -u me --password-stdin --insecure-registry");
    let mut child = command(&cnb, &line)
        .env("CNB_REGISTRY_AUTH", format!(r#"{{"{registry}": "Basic x"}}"#))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"pass").unwrap();
    let stderr = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
    let expected = "Warning: `CNB_REGISTRY_AUTH` has other credentials for it, which come first\n";
    assert!(stderr.ends_with(expected), "{stderr}");
}

#[test]
fn a_user_at_a_terminal_is_asked_and_the_password_is_not_shown() {
    let (cnb, registry) = (Cnb::new(), registry());
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let user = openpt(flags).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let terminal = File::from(ioctl_tiocgptpeer(&user, flags).unwrap());
    let mut user = File::from(user);
    let line = format!("login {registry} --authfile logins.json");
    let mut child = command(&cnb, &line).stdin(terminal.try_clone().unwrap()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut asked = |question: &str, answer: &str| {
        let mut found = vec![0; question.len()];
        stderr.read_exact(&mut found).unwrap();
        assert_eq!(String::from_utf8(found).unwrap(), question);
        user.write_all(answer.as_bytes()).unwrap();
    };
    asked(&format!("User for {registry}: "), "me\n");
    // The terminal is made quiet after the question: what is typed in between waits, and is read all the same.
    asked("Password: ", "pass\n");
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with(&format!("\nLogged in to {registry}\n")), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(kept(&cnb, "logins.json").unwrap().contains("bWU6cGFzcw=="));
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    refuse(
        "login r.io",
        "error: there is no terminal to ask for the password\n\n\
         hint: give it on standard input: `cnb login REGISTRY --username USER --password-stdin < FILE`\n",
    );
    refuse(
        "login r.io --password-stdin",
        "error: `--password-stdin` needs a user\n\n\
         hint: name the user: `cnb login REGISTRY --username USER --password-stdin`\n",
    );
}

#[test]
fn what_cannot_be_a_login_is_refused_before_the_registry_is_asked() {
    refuse("login r.io -u me --password-stdin", "error: the password is empty\n");
    let refused = |user: &str| piped(&Cnb::new(), &format!("login r.io -u {user} --password-stdin"), "p");
    assert_eq!(refused("a:b").stderr, "error: `a:b` is not a user: it is empty or has a `:`\n");
    refuse("login r.io/me", "error: `r.io/me` is not a registry\n\nhint: name the registry alone: `r.io`\n");
}

#[test]
fn a_password_does_not_belong_on_the_command_line() {
    for option in ["-p", "--password"] {
        refuse(
            &format!("login r.io -u me {option} hunter2"),
            &format!(
                "error: the option `{option}` is spelled differently here\n\nhint: use `--password-stdin`, or leave \
                 it out to be asked: every user of this machine can see command lines\n"
            ),
        );
    }
}

#[test]
fn a_file_that_makes_no_sense_stays_and_is_named() {
    let (cnb, registry) = (Cnb::new(), registry());
    cnb.file("logins.json", "{");
    let found =
        piped(&cnb, &format!("login {registry} -u me --password-stdin --authfile logins.json"), "pass");
    assert_eq!(
        found.stderr,
        "error: failed to parse the credentials in `$APP/logins.json`: EOF while parsing an object at line 1 column \
         1\n\nhint: correct `$APP/logins.json`, or remove it and log in again with `cnb login`\n"
    );
    assert_eq!(kept(&cnb, "logins.json").as_deref(), Some("{"));
}
