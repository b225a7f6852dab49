//! docker-registry in each of its kinds, asked by curl and skopeo.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cnb_testkit::docker_registry::{DockerRegistry, Login, Setup, Tls};
use cnb_testkit::peers::{available, output, run};
use cnb_testkit::scratch_layout;
use cnb_testkit::tokens::TokenPolicy;
use serde_json::json;

/// A registry and a folder with the OCI layout `image`; `None` where a peer is missing.
fn begin(setup: &Setup) -> Option<(DockerRegistry, tempfile::TempDir)> {
    if !DockerRegistry::is_available() || !available(&["curl", "skopeo"]) {
        return None;
    }
    let dir = tempfile::tempdir().expect("a directory");
    fs_err::create_dir_all(dir.path().join("tree/etc")).expect("a new directory");
    fs_err::write(dir.path().join("tree/etc/motd"), "hello\n").expect("a new file");
    scratch_layout(&dir.path().join("image"), &dir.path().join("tree"), &json!({})).expect("a new image");
    Some((DockerRegistry::start(setup).expect("a registry"), dir))
}

/// Copies the image to the registry.
#[track_caller]
fn push(registry: &DockerRegistry, dir: &Path, name: &str, options: &[&str]) {
    let to = format!("docker://{}/{name}", registry.host());
    let args = [&["--insecure-policy", "copy", "--preserve-digests"], options, &["oci:image", &to]].concat();
    run("skopeo", &args, dir);
}

/// Asks for `/v2/`; returns the status.
fn status(registry: &DockerRegistry, scheme: &str, args: &[&str]) -> String {
    let url = format!("{scheme}://{}/v2/", registry.host());
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(args)
        .arg(url)
        .output()
        .expect("curl");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_recorded_registry_tells_what_a_second_push_transfers() {
    let Some((registry, dir)) = begin(&Setup { recorded: true, ..Setup::default() }) else { return };
    let journal = registry.journal().unwrap();
    push(&registry, dir.path(), "some/app:v1", &["--dest-tls-verify=false"]);
    assert_eq!(journal.lines_of("PATCH").len(), 2, "{:#?}", journal.lines());
    assert!(journal.bytes().0 > 0);
    journal.forget();
    push(&registry, dir.path(), "some/app:v2", &["--dest-tls-verify=false"]);
    assert_eq!(journal.lines_of("PATCH"), [""; 0]);
    assert_eq!(journal.lines_of("PUT"), ["PUT /v2/some/app/manifests/v2 201"]);
    let name = format!("docker://{}/some/app:v2", registry.host());
    run("skopeo", &["--insecure-policy", "copy", "--src-tls-verify=false", &name, "oci:copy"], dir.path());
    assert!(registry.storage().join("docker/registry/v2/repositories/some/app").is_dir());
}

#[test]
fn nothing_is_left_of_a_registry() {
    let Some((registry, _dir)) = begin(&Setup::default()) else { return };
    assert_eq!(status(&registry, "http", &[]), "200");
    let (storage, host) = (registry.storage().to_owned(), registry.host());
    drop(registry);
    assert!(!storage.parent().unwrap().exists());
    std::net::TcpStream::connect(host).unwrap_err();
}

#[test]
fn a_private_authority_is_trusted_by_those_who_know_it() {
    let Some((registry, _dir)) = begin(&Setup { tls: Tls::On, ..Setup::default() }) else { return };
    let ca = registry.certificates().unwrap().ca.to_str().unwrap().to_owned();
    assert_eq!(status(&registry, "https", &["--cacert", &ca]), "200");
    assert_eq!(status(&registry, "https", &[]), "000");
}

#[test]
fn a_client_certificate_is_demanded() {
    let setup = Setup { tls: Tls::ClientCertificate, ..Setup::default() };
    let Some((registry, _dir)) = begin(&setup) else { return };
    let made = registry.certificates().unwrap();
    let [ca, cert, key] = [&made.ca, &made.client, &made.client_key].map(|path| path.to_str().unwrap());
    assert_eq!(status(&registry, "https", &["--cacert", ca]), "000");
    assert_eq!(status(&registry, "https", &["--cacert", ca, "--cert", cert, "--key", key]), "200");
}

#[test]
fn a_user_of_htpasswd_comes_in_with_the_right_password() {
    let login = Login::Htpasswd { user: "user".to_owned(), password: "pa$$: word".to_owned() };
    let Some((registry, _dir)) = begin(&Setup { login, ..Setup::default() }) else { return };
    assert_eq!(status(&registry, "http", &[]), "401");
    assert_eq!(status(&registry, "http", &["-u", "user:wrong"]), "401");
    assert_eq!(status(&registry, "http", &["-u", "user:pa$$: word"]), "200");
}

#[test]
fn docker_registry_takes_our_tokens_while_they_hold() {
    let login = Login::Bearer(TokenPolicy::new("user", "secret"));
    let Some((registry, dir)) = begin(&Setup { login, recorded: true, ..Setup::default() }) else { return };
    let credentials = ["--dest-tls-verify=false", "--dest-creds=user:secret"];
    push(&registry, dir.path(), "some/app:v1", &credentials);
    let tokens = registry.tokens().unwrap();
    assert!(tokens.asked().iter().any(|a| a.granted && a.scopes == ["repository:some/app:pull,push"]));

    let mut try_again = Command::new("skopeo");
    let to = format!("docker://{}/some/app:v2", registry.host());
    try_again.args(["--insecure-policy", "copy"]).args(credentials).args(["oci:image", &to]);
    try_again.current_dir(dir.path());
    tokens.change(|policy| policy.age = Duration::from_secs(3600));
    assert!(!try_again.output().unwrap().status.success(), "a stale token was taken: {}", registry.log());
    tokens.change(|policy| policy.age = Duration::ZERO);
    output(&mut try_again);
    tokens.change(|policy| policy.refusal = Some(503));
    assert!(!try_again.output().unwrap().status.success());
}
