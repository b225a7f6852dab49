//! The proxy that clients are told to use, by curl.

use std::path::Path;
use std::process::Command;

use cnb_testkit::docker_registry::{DockerRegistry, Setup, Tls};
use cnb_testkit::peers::{available, run};
use cnb_testkit::proxy;
use cnb_testkit::registry::{Options, Registry};

/// Asks for a page through a proxy, whatever the environment says; returns the body.
#[track_caller]
fn curl(proxy: &str, args: &[&str], url: &str) -> String {
    let own = ["-sS", "-f", "-m", "20", "--noproxy", "", "--proxy", proxy];
    run("curl", &[&own[..], args, &[url]].concat(), Path::new("/"))
}

#[test]
fn requests_go_through_the_proxy_to_hosts_that_only_it_knows() {
    if !available(&["curl"]) {
        return;
    }
    let registry = Registry::start(Options::default()).unwrap();
    let port = registry.host().rsplit(':').next().unwrap().to_owned();
    let proxy = proxy::forward(None).unwrap();
    let url = format!("http://registry.test:{port}/v2/");
    assert_eq!(curl(&proxy.address().to_string(), &[], &url), "{}");
    assert_eq!(proxy.journal().lines(), [format!("GET {url} 200")]);
    let seen = registry.journal().seen();
    assert_eq!(seen[0].request.header("host"), Some(format!("registry.test:{port}").as_str()));
}

#[test]
fn tls_goes_through_a_tunnel() {
    if !DockerRegistry::is_available() || !available(&["curl"]) {
        return;
    }
    let registry = DockerRegistry::start(&Setup { tls: Tls::On, ..Setup::default() }).unwrap();
    let proxy = proxy::forward(None).unwrap();
    let ca = registry.certificates().unwrap().ca.to_str().unwrap().to_owned();
    let url = format!("https://{}/v2/", registry.host());
    assert_eq!(curl(&proxy.address().to_string(), &["--cacert", &ca], &url), "{}");
    let lines = proxy.journal().lines();
    assert_eq!(lines, [format!("CONNECT {} 200", registry.host())]);
}

#[test]
fn a_proxy_can_demand_credentials() {
    if !available(&["curl"]) {
        return;
    }
    let registry = Registry::start(Options::default()).unwrap();
    let proxy = proxy::forward(Some(("user".to_owned(), "secret".to_owned()))).unwrap();
    let url = format!("http://{}/v2/", registry.host());
    let known = format!("http://user:secret@{}", proxy.address());
    assert_eq!(curl(&known, &[], &url), "{}");
    assert_eq!(registry.journal().seen()[0].request.header("proxy-authorization"), None);
    let address = proxy.address().to_string();
    let args = ["-s", "-f", "-m", "20", "--noproxy", "", "--proxy", &address, &url];
    assert!(!Command::new("curl").args(args).output().unwrap().status.success());
    assert_eq!(proxy.journal().lines()[1], format!("GET {url} 407"));
}
