//! How registries are reached: names, mirrors, proxies, and giving up.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Lines, chain, client, image, name, read, settings};
use cnb_fs::HostPath;
use cnb_registry::{Names, Proxies, RegistryErrorKind, Settings, Stop};
use cnb_testkit::http::{Break, Journal, Response, Server as HttpServer};
use cnb_testkit::registry::{Fault, Nth, Options, Registry as Server, What};

fn server() -> Server {
    Server::start(Options::default()).expect("a registry")
}

/// Puts an image of two layers as `some/app:v1` into a registry.
fn fill(server: &Server) {
    let dir = tempfile::tempdir().expect("a directory");
    let image = image(dir.path(), 1, &[10, 300_000]);
    let to = name(&server.host(), "some/app:v1");
    client(settings(&Lines::default())).push(&image, &to, &|_| {}).expect("a healthy registry");
    server.journal().forget();
}

fn port(host: &str) -> &str {
    host.rsplit_once(':').expect("a port").1
}

/// Settings by which names lead to loopback.
pub(crate) fn with_hosts(dir: &tempfile::TempDir, hosts: &str, lines: &Lines) -> Settings {
    let (file, conf) = (dir.path().join("hosts"), dir.path().join("resolv.conf"));
    fs_err::write(&file, hosts).expect("a new file");
    let names = Names { hosts: HostPath::absolute(file), resolv_conf: HostPath::absolute(conf), port: 9 };
    Settings { names, ..settings(lines) }
}

#[test]
fn a_hosts_file_leads_to_an_insecure_registry() {
    let server = server();
    fill(&server);
    let (dir, lines) = (tempfile::tempdir().unwrap(), Lines::default());
    let host = format!("reg.example:{}", port(&server.host()));
    let insecure = vec![format!("{host}/some")];
    let settings = Settings { insecure, ..with_hosts(&dir, "127.0.0.1 reg.example\n", &lines) };
    client(settings.clone()).image(&name(&host, "some/app:v1"), None).unwrap();
    // Another repository of the host is not insecure, and https is not spoken there.
    let error = client(settings).image(&name(&host, "other/app:v1"), None).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable, "{}", chain(&error));
}

#[test]
fn localhost_needs_no_hosts_file() {
    let server = server();
    fill(&server);
    let (dir, lines) = (tempfile::tempdir().unwrap(), Lines::default());
    for host in ["localhost", "reg.localhost"] {
        let host = format!("{host}:{}", port(&server.host()));
        client(with_hosts(&dir, "", &lines)).check_read(&name(&host, "some/app:v1")).unwrap();
    }
}

/// Answers questions for `A` of `reg.test.example` with 127.0.0.1, and says of all other names that there are
/// none; returns the port.
fn name_server() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = socket.local_addr().expect("an address").port();
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&dns_answer(&buffer[..length]), from);
        }
    });
    port
}

fn dns_answer(question: &[u8]) -> Vec<u8> {
    let end = 12 + question[12..].iter().position(|b| *b == 0).unwrap_or(0) + 5;
    let known = question[12..end].starts_with(b"\x03reg\x04test\x07example\x00");
    let is_a = question[end - 4..end] == [0, 1, 0, 1];
    let mut answer = question[..2].to_vec();
    answer.extend([0x81, if known { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(known && is_a), 0, 0, 0, 0]);
    answer.extend(&question[12..end]);
    if known && is_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

#[test]
fn the_name_servers_of_resolv_conf_are_asked() {
    let server = server();
    fill(&server);
    let (dir, lines) = (tempfile::tempdir().unwrap(), Lines::default());
    let mut settings = with_hosts(&dir, "", &lines);
    fs_err::write(dir.path().join("resolv.conf"), "nameserver 127.0.0.1\nsearch test.example\n").unwrap();
    settings.names.port = name_server();
    for host in ["reg.test.example", "reg.test.example."] {
        let host = format!("{host}:{}", port(&server.host()));
        let settings = Settings { insecure: vec![host.clone()], ..settings.clone() };
        if let Err(error) = client(settings).check_read(&name(&host, "some/app:v1")) {
            panic!("{}\n{}", chain(&error), lines.get().join("\n"));
        }
    }
    let app = name("no.such.example", "some/app:v1");
    let begun = Instant::now();
    let error = client(settings).check_read(&app).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable);
    assert_eq!(
        chain(&error),
        format!("failed to check read access to `{app}`: no such host `no.such.example`")
    );
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn who_cannot_be_reached_is_given_up_quickly() {
    let host = format!("127.0.0.1:{}", cnb_testkit::free_port().unwrap());
    let registry = client(Settings::default());
    let begun = Instant::now();
    let error = registry.check_read(&name(&host, "some/app:v1")).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable);
    assert!(chain(&error).ends_with(": connection refused"), "{}", chain(&error));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[test]
fn a_read_check_passes_with_all_but_a_refusal() {
    for (status, passes) in [(200, true), (404, true), (500, true), (503, true), (401, false), (403, false)] {
        let server = server();
        if status != 200 {
            server.inject(Fault::new("* /v2/*/manifests/*", Nth::All, What::status(status)));
        }
        let result = client(settings(&Lines::default())).check_read(&name(&server.host(), "some/app:v1"));
        assert_eq!(result.is_ok(), passes, "{status}");
    }
    let server = server();
    server.inject(Fault::new("POST *", Nth::All, What::status(403)));
    let registry = client(settings(&Lines::default()));
    let error = registry.check_write(&name(&server.host(), "some/app:v1")).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Denied);
    server.heal();
    registry.check_write(&name(&server.host(), "some/app:v1")).unwrap();
    assert_eq!(server.open_uploads(), 0, "the probe is given up");
}

#[test]
fn mirrors_are_asked_in_order_and_then_the_registry() {
    let (origin, mirror) = (server(), server());
    fill(&origin);
    let lines = Lines::default();
    let dead = format!("127.0.0.1:{}", cnb_testkit::free_port().unwrap());
    let mirrors = [(origin.host(), vec![dead, format!("http://{}/", mirror.host())])].into();
    let settings = Settings { mirrors, ..settings(&lines) };
    let app = name(&origin.host(), "some/app:v1");

    // The mirror has nothing yet: the registry itself answers.
    let registry = client(settings.clone());
    let found = registry.image(&app, None).unwrap();
    assert!(read(&found.layers()[1]).is_ok());
    assert!(mirror.journal().lines().iter().any(|l| l.contains("/manifests/v1 404")));

    fill(&mirror);
    origin.journal().forget();
    let registry = client(settings.clone());
    let found = registry.image(&app, None).unwrap();
    assert!(read(&found.layers()[1]).is_ok());
    registry.check_read(&app).unwrap();
    assert!(registry.head(&app).unwrap().is_some());
    assert_eq!(origin.journal().lines(), ["GET /v2/ 200"]);
    // A mirror that breaks on the way, or lies, is passed over.
    mirror.inject(Fault::new("GET /v2/*/manifests/*", Nth::All, What::WrongBytes));
    mirror.inject(Fault::new("GET /v2/*/blobs/*", Nth::After(1), What::status(404)));
    let found = client(settings.clone()).image(&app, None).unwrap();
    assert!(read(&found.layers()[1]).is_ok());

    // Pushing is the registry's business alone.
    mirror.journal().forget();
    client(settings).push(&found, &name(&origin.host(), "some/copy:v1"), &|_| {}).unwrap();
    assert!(mirror.journal().lines().iter().all(|l| l.starts_with("GET")), "{:?}", mirror.journal().lines());
}

#[test]
fn a_mirror_that_is_none_is_named() {
    let server = server();
    for mirror in ["mirror", "ftp://mirror.example", "mirror.example:x", ""] {
        let mirrors = [(server.host(), vec![mirror.to_owned()])].into();
        let registry = client(Settings { mirrors, ..settings(&Lines::default()) });
        let error = registry.image(&name(&server.host(), "some/app:v1"), None).unwrap_err();
        let why = format!("the mirror `{mirror}` is not of the form `[http://]host[:port][/prefix]`");
        assert!(
            error.kind == RegistryErrorKind::Settings && chain(&error).contains(&why),
            "{}",
            chain(&error)
        );
    }
}

/// A proxy that refuses everybody and remembers what it was asked.
fn proxy() -> HttpServer {
    HttpServer::start(Ipv4Addr::LOCALHOST, Arc::<Journal>::default(), |_| {
        Arc::new(|_, _| io::Result::Ok(Response::new(403).whole()))
    })
    .expect("a proxy")
}

#[test]
fn a_proxy_is_used_as_the_settings_say_and_its_password_is_never_shown() {
    let (proxy, lines) = (proxy(), Lines::default());
    let url = format!("http://me:{}@{}", crate::support::PASSWORD, proxy.address());
    let with = |none: &str| {
        let proxies = Proxies { https: Some(url.clone()), http: Some(url.clone()), none: none.to_owned() };
        Settings { proxies, insecure: vec!["plain.example".to_owned()], ..settings(&lines) }
    };
    let error = client(with("")).check_read(&name("reg.example", "some/app:v1")).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable, "{}", chain(&error));
    let seen = proxy.journal().seen();
    assert_eq!(
        (seen[0].request.method.as_str(), seen[0].request.target.as_str()),
        ("CONNECT", "reg.example:443")
    );
    assert!(seen[0].request.header("proxy-authorization").is_some());
    lines.assert_discreet(&format!("{error:?} {} {:?}", chain(&error), with("")));

    proxy.journal().forget();
    let plain = client(with("")).check_read(&name("plain.example", "some/app:v1"));
    assert!(plain.is_err());
    let lines_seen = proxy.journal().lines();
    assert!(lines_seen.iter().any(|l| l.starts_with("GET http://plain.example/v2/ ")), "{lines_seen:?}");

    // Who is listed, and whoever is on loopback, is reached directly.
    proxy.journal().forget();
    let (dir, server) = (tempfile::tempdir().unwrap(), server());
    let host = format!("reg.example:{}", port(&server.host()));
    let direct = Settings {
        names: with_hosts(&dir, "127.0.0.1 reg.example", &lines).names,
        insecure: vec!["reg.example".to_owned()],
        ..with("other.example,reg.example")
    };
    client(direct).check_read(&name(&host, "some/app:v1")).unwrap();
    client(with("")).check_read(&name(&server.host(), "some/app:v1")).unwrap();
    assert!(proxy.journal().lines().is_empty());
}

#[test]
fn stopping_ends_whatever_waits() {
    let lines = Lines::default();
    let patient = |cancel: &Stop| {
        let mut settings = Settings { cancel: cancel.clone(), ..settings(&lines) };
        settings.timeouts.answer = Duration::from_secs(60);
        settings.timeouts.stall = Duration::from_secs(60);
        settings.timeouts.document = Duration::from_secs(60);
        settings
    };
    let stop_soon = |stop: &Stop, server: &Server| {
        let stop = stop.clone();
        assert!(cnb_testkit::wait_for(Duration::from_secs(20), || server.struck() > 0));
        thread::spawn(move || stop.stop());
    };
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 1, &[10, 300_000]);
    for (on, what) in [
        ("GET /v2/", What::SlowLoris { bytes: 1, every: Duration::from_secs(1) }),
        ("PATCH /v2/*", What::RequestBreaks { after: 100, how: Break::Stall }),
        ("PUT /v2/*/manifests/*", What::RequestBreaks { after: 1, how: Break::Stall }),
    ] {
        let (server, stop) = (server(), Stop::new());
        let registry = client(patient(&stop));
        server.inject(Fault::new(on, Nth::All, what));
        let begun = Instant::now();
        let result = thread::scope(|scope| {
            let push = scope.spawn(|| registry.push(&image, &name(&server.host(), "some/app:v1"), &|_| {}));
            stop_soon(&stop, &server);
            push.join().expect("no panic")
        });
        assert_eq!(result.unwrap_err().kind, RegistryErrorKind::Cancelled, "{on}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{on}: {:?}", begun.elapsed());
        assert!(server.tags().is_empty());
        assert_eq!(
            registry.check_read(&name(&server.host(), "a/b")).unwrap_err().kind,
            RegistryErrorKind::Cancelled
        );
    }

    let (server, stop) = (server(), Stop::new());
    fill(&server);
    let registry = client(patient(&stop));
    let found = registry.image(&name(&server.host(), "some/app:v1"), None).unwrap();
    server.inject(Fault::new(
        "GET /v2/*/blobs/*",
        Nth::All,
        What::ResponseBreaks { after: 1000, how: Break::Stall },
    ));
    let error = thread::scope(|scope| {
        let reading = scope.spawn(|| read(&found.layers()[1]));
        stop_soon(&stop, &server);
        reading.join().expect("no panic").unwrap_err()
    });
    assert!(error.ends_with("it was cancelled"), "{error}");
}
