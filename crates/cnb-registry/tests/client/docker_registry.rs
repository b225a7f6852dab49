//! The client against docker-registry 2.8: plain, with TLS, passwords and tokens.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::reach::with_hosts;
use crate::support::{Lines, PASSWORD, chain, client, credentials, image, name, read, settings};
use cnb_fs::HostPath;
use cnb_registry::{Certificates, Credentials, Event, RegistryErrorKind, Settings};
use cnb_testkit::docker_registry::{DockerRegistry, Login, Setup, Tls};
use cnb_testkit::tokens::TokenPolicy;

/// Starts a registry; `None` where there is none on this machine.
fn start(setup: &Setup) -> Option<DockerRegistry> {
    DockerRegistry::is_available().then(|| DockerRegistry::start(setup).expect("docker-registry"))
}

#[test]
fn what_is_pushed_comes_back_and_only_what_is_missing_travels() {
    let Some(server) = start(&Setup::default()) else { return };
    let host = server.host();
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 1, &[300_000, 10]);
    let lines = Lines::default();
    let registry = client(settings(&lines));
    let app = name(&host, "team/app:v1");
    assert_eq!(registry.head(&app).unwrap(), None);
    let error = registry.image(&app, None).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::NotFound);
    assert_eq!(
        chain(&error),
        format!(
            "failed to read the image `{app}`: the registry answered 404 Not Found: manifest unknown (MANIFEST_UNKNOWN)"
        )
    );
    registry.check_read(&app).unwrap();
    registry.check_write(&app).unwrap();

    let events = Mutex::new(Vec::new());
    let note = |event| events.lock().unwrap().push(event);
    let pushed = registry.push(&image, &app, &note).unwrap();
    assert_eq!(pushed.digest, image.digest());
    let sent = events.lock().unwrap().drain(..).filter(|e| matches!(e, Event::Sent(_))).count();
    assert_eq!(sent, 3);

    let found = registry.image(&app, None).unwrap();
    assert_eq!(found.manifest_bytes(), image.manifest_bytes());
    assert_eq!(found.config_bytes(), image.config_bytes());
    for (ours, theirs) in image.layers().iter().zip(found.layers()) {
        assert_eq!(read(ours).unwrap(), read(theirs).unwrap());
    }
    assert_eq!(registry.head(&app).unwrap().unwrap().digest, pushed.digest);
    assert_eq!(registry.document(&app).unwrap().1, image.manifest_bytes());

    let before = lines.get().len();
    registry.push(&image, &name(&host, "team/app:v2"), &note).unwrap();
    assert!(events.lock().unwrap().drain(..).all(|e| matches!(e, Event::Exists(_))));
    let methods: Vec<String> =
        lines.get()[before..].iter().map(|l| l.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(methods, ["HEAD", "HEAD", "HEAD", "PUT"]);
    assert_eq!(registry.tags(&app).unwrap(), ["v1", "v2"]);

    // Layers of another repository of the same registry are mounted.
    registry.push(&found, &name(&host, "other/app:v1"), &note).unwrap();
    let sent: Vec<_> = events.lock().unwrap().drain(..).filter(|e| matches!(e, Event::Sent(_))).collect();
    assert_eq!(sent.len(), 1, "only the config is sent: {sent:?}");

    registry.delete(&app.with_digest(pushed.digest)).unwrap();
    assert_eq!(registry.head(&app).unwrap(), None);
    lines.assert_discreet("");
}

/// Pushes an image and reads it back, then checks that nobody else may.
#[track_caller]
fn check_round_trip(host: &str, settings: Settings, lines: &Lines) {
    let dir = tempfile::tempdir().expect("a directory");
    let image = image(dir.path(), 1, &[200_000, 10]);
    let registry = client(settings);
    let app = name(host, "team/app:v1");
    if let Err(error) = registry.push(&image, &app, &|_| {}) {
        panic!("{}\n{}", chain(&error), lines.get().join("\n"));
    }
    let found = registry.image(&app, None).expect("it was pushed");
    assert_eq!(found.digest(), image.digest());
    assert_eq!(read(&found.layers()[0]), read(&image.layers()[0]));
    registry.check_read(&app).expect("it was read");
    registry.check_write(&app).expect("it was written");
    lines.assert_discreet(&format!("{registry:?} {found:?}"));
}

fn host_path(path: &Path) -> HostPath {
    HostPath::absolute(path)
}

#[test]
fn a_private_authority_is_trusted_where_it_is_named() {
    let Some(server) = start(&Setup { tls: Tls::On, ..Setup::default() }) else { return };
    let host = server.host();
    let ca = &server.certificates().unwrap().ca;
    let lines = Lines::default();
    let with = |certificates| Settings { certificates, ..settings(&lines) };

    let extra = Certificates { extra: vec![host_path(ca)], ..Certificates::default() };
    check_round_trip(&host, with(extra), &lines);
    let file = Certificates { file: Some(host_path(ca)), ..Certificates::default() };
    check_round_trip(&host, with(file), &lines);
    let dir = tempfile::tempdir().unwrap();
    fs_err::create_dir(dir.path().join(&host)).unwrap();
    fs_err::copy(ca, dir.path().join(&host).join("ca.crt")).unwrap();
    let hosts = Certificates { hosts: vec![host_path(dir.path())], ..Certificates::default() };
    check_round_trip(&host, with(hosts), &lines);
    let dirs =
        Certificates { dirs: Some(vec![host_path(&dir.path().join(&host))]), ..Certificates::default() };
    check_round_trip(&host, with(dirs), &lines);
    // A certificate that is trusted by itself needs no authority.
    let itself = Certificates {
        extra: vec![host_path(&server.certificates().unwrap().server)],
        ..Certificates::default()
    };
    check_round_trip(&host, with(itself), &lines);
    check_round_trip(&host, Settings { insecure: vec![format!("{host}/team")], ..settings(&lines) }, &lines);

    let app = name(&host, "team/app:v1");
    let error = client(settings(&lines)).check_read(&app).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable);
    assert!(chain(&error).contains("signed by an unknown authority"), "{}", chain(&error));
    let nothing = Certificates { dirs: Some(Vec::new()), ..Certificates::default() };
    let error = client(with(nothing)).check_read(&app).unwrap_err();
    assert!(chain(&error).contains("install the package `ca-certificates`"), "{}", chain(&error));
    let insecure = Settings { insecure: vec![format!("{host}/other")], ..settings(&lines) };
    assert!(client(insecure).check_read(&app).is_err(), "the prefix is another one");
}

#[test]
fn a_client_certificate_is_shown_to_its_registry() {
    let Some(server) = start(&Setup { tls: Tls::ClientCertificate, ..Setup::default() }) else { return };
    let host = server.host();
    let made = server.certificates().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(&host);
    fs_err::create_dir(&folder).unwrap();
    fs_err::copy(&made.ca, folder.join("ca.crt")).unwrap();
    let lines = Lines::default();
    let certificates = Certificates { hosts: vec![host_path(dir.path())], ..Certificates::default() };
    let settings = Settings { certificates, ..settings(&lines) };
    let app = name(&host, "team/app:v1");
    let error = client(settings.clone()).check_read(&app).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable);
    assert!(chain(&error).contains("it does not take our client certificate"), "{}", chain(&error));

    fs_err::copy(&made.client, folder.join("client.cert")).unwrap();
    let error = client(settings.clone()).check_read(&app).unwrap_err();
    let missing = format!("failed to read `{}`", folder.join("client.key").display());
    assert!(
        error.kind == RegistryErrorKind::Settings && chain(&error).contains(&missing),
        "{}",
        chain(&error)
    );
    fs_err::copy(&made.client_key, folder.join("client.key")).unwrap();
    check_round_trip(&host, settings, &lines);
}

#[test]
fn a_password_opens_what_it_is_for_and_is_never_shown() {
    let login = Login::Htpasswd { user: "me".to_owned(), password: PASSWORD.to_owned() };
    let Some(server) = start(&Setup { login, ..Setup::default() }) else { return };
    let host = server.host();
    let lines = Lines::default();
    let with = |credentials| Settings { credentials, ..settings(&lines) };
    check_round_trip(&host, with(credentials(&host)), &lines);

    let app = name(&host, "team/app:v1");
    let nobody = client(with(Credentials::default()));
    for error in [nobody.check_read(&app), nobody.check_write(&app), nobody.image(&app, None).map(|_| ())] {
        let error = error.unwrap_err();
        assert!(error.kind == RegistryErrorKind::Unauthorized && error.is_missing(), "{}", chain(&error));
    }
    let registry = client(with(Credentials::default()));
    let auth = credentials(&host).header_for(&app).unwrap();
    registry.login_check(&host, &auth).unwrap();
    let wrong = cnb_registry::Auth::Basic {
        user: "me".into(),
        password: cnb_registry::credentials::Secret::new("no"),
    };
    assert_eq!(registry.login_check(&host, &wrong).unwrap_err().kind, RegistryErrorKind::Unauthorized);
    lines.assert_discreet("");
}

#[test]
fn tokens_are_fetched_with_a_password_or_by_nobody() {
    let policy = TokenPolicy { anonymous: vec!["pull".to_owned()], ..TokenPolicy::new("me", PASSWORD) };
    let Some(server) = start(&Setup { login: Login::Bearer(policy), ..Setup::default() }) else { return };
    let host = server.host();
    let lines = Lines::default();
    let with = |credentials| Settings { credentials, ..settings(&lines) };
    check_round_trip(&host, with(credentials(&host)), &lines);
    for asked in server.tokens().unwrap().asked() {
        assert_eq!((asked.grant_type.as_str(), asked.user.as_deref()), ("basic", Some("me")), "{asked:?}");
    }

    let app = name(&host, "team/app:v1");
    let nobody = client(with(Credentials::default()));
    assert!(read(&nobody.image(&app, None).unwrap().layers()[0]).is_ok());
    nobody.check_read(&app).unwrap();
    let error = nobody.check_write(&app).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unauthorized, "{}", chain(&error));
    lines.assert_discreet("");
}

/// Passes bytes on to `to`, and resets the connection on which `limit` have come in, once.
fn relay_that_breaks(to: String, limit: u64) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let broken = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(&to)) else { return };
            let broken = broken.clone();
            std::thread::spawn(move || pass_on(&client, &server, limit, &broken));
        }
    });
    address
}

fn pass_on(client: &TcpStream, server: &TcpStream, limit: u64, broken: &AtomicBool) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = io::copy(&mut &*server, &mut &*client);
            let _ = client.shutdown(Shutdown::Both);
        });
        let first = io::copy(&mut client.take(limit), &mut &*server);
        if first.is_ok_and(|count| count == limit) && !broken.swap(true, Ordering::SeqCst) {
            let _ = client.shutdown(Shutdown::Both);
        } else {
            let _ = io::copy(&mut &*client, &mut &*server);
        }
        let _ = server.shutdown(Shutdown::Both);
    });
}

#[test]
fn an_upload_survives_a_broken_connection() {
    let Some(server) = start(&Setup::default()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), 1, &[4 << 20]);
    // In the first chunk, in a later one, and where the blob goes in one request. This registry forgets an upload
    // whose chunk broke off, so the blob begins anew.
    for (limit, chunk) in [(300_000, 1 << 20), (2_500_000, 1 << 20), (300_000, 64 << 20)] {
        let lines = Lines::default();
        let host = relay_that_breaks(server.host(), limit);
        let registry = client(Settings { chunk, ..settings(&lines) });
        let app = name(&host, &format!("team/app{limit}-{chunk}:v1"));
        if let Err(error) = registry.push(&image, &app, &|_| {}) {
            panic!("{}\n{}", chain(&error), lines.get().join("\n"));
        }
        let found = registry.image(&app, None).unwrap();
        assert_eq!(read(&found.layers()[0]), read(&image.layers()[0]));
        let failed = lines.get().iter().filter(|line| line.starts_with("upload ")).count();
        assert_eq!(failed, 1, "{}", lines.get().join("\n"));
    }
}

#[test]
fn a_registry_without_tls_has_to_be_named_as_insecure() {
    let Some(server) = start(&Setup::default()) else { return };
    let (dir, lines) = (tempfile::tempdir().unwrap(), Lines::default());
    let host = server.host().replace("127.0.0.1", "reg.example");
    let app = name(&host, "team/app:v1");
    let settings = with_hosts(&dir, "127.0.0.1 reg.example", &lines);
    let error = client(settings.clone()).check_read(&app).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unreachable);
    assert!(
        chain(&error).ends_with("a registry without TLS has to be named as insecure"),
        "{}",
        chain(&error)
    );
    client(Settings { insecure: vec![host], ..settings }).check_read(&app).unwrap();
}
