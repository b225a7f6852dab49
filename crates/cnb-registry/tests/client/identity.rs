//! Who we are: tokens with the scopes that are needed, fetched once, renewed in time, shown to nobody else.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::support::{Lines, PASSWORD, chain, client, credentials, image, name, read, settings};
use cnb_registry::{Credentials, Registry, RegistryErrorKind, Settings};
use cnb_spec::env::Env;
use cnb_testkit::registry::{Auth, Fault, Nth, Options, Registry as Server, What};
use cnb_testkit::tokens::TokenPolicy;

struct Bed {
    server: Server,
    lines: Lines,
    dir: tempfile::TempDir,
}

impl Bed {
    fn new(auth: Auth) -> Self {
        let server = Server::start(Options { auth, ..Options::default() }).expect("a registry");
        Self { server, lines: Lines::default(), dir: tempfile::tempdir().expect("a directory") }
    }

    fn bearer(policy: TokenPolicy) -> Self {
        Self::new(Auth::Bearer(policy))
    }

    fn client(&self, credentials: Credentials) -> Registry {
        client(Settings { credentials, ..settings(&self.lines) })
    }

    fn me(&self) -> Registry {
        self.client(credentials(&self.server.host()))
    }

    fn name(&self, rest: &str) -> cnb_spec::image_ref::ImageRef {
        name(&self.server.host(), rest)
    }

    /// The scopes of each question to the token server.
    fn scopes(&self) -> Vec<String> {
        let asked = self.server.tokens().expect("a token server").asked();
        asked.iter().map(|a| a.scopes.join(" ")).collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.lines.assert_discreet("");
        }
    }
}

#[test]
fn a_token_is_asked_for_once_for_what_is_needed() {
    let bed = Bed::bearer(TokenPolicy::new("me", PASSWORD));
    let registry = bed.me();
    let image = image(bed.dir.path(), 1, &[10, 100_000, 20, 30]);
    registry.push(&image, &bed.name("some/app:v1"), &|_| {}).unwrap();
    assert_eq!(bed.scopes(), ["repository:some/app:pull,push"]);
    let found = registry.image(&bed.name("some/app:v1"), None).unwrap();
    found.layers().iter().for_each(|layer| assert!(read(layer).is_ok()));
    assert_eq!(bed.scopes()[1..], ["repository:some/app:pull"]);
    // Mounting needs a word for the other repository too.
    registry.push(&found, &bed.name("other/app:v1"), &|_| {}).unwrap();
    let mount = "repository:other/app:pull,push repository:some/app:pull";
    assert_eq!(bed.scopes()[2..], ["repository:other/app:pull,push", mount]);
    assert!(bed.server.journal().lines_of("POST").iter().filter(|l| l.ends_with("201")).count() == 4);
    registry.delete(&bed.name("other/app:v1")).unwrap();
    assert_eq!(bed.scopes()[4..], ["repository:other/app:pull,push,delete"]);
}

#[test]
fn a_token_that_expires_on_the_way_is_renewed() {
    for (on, nth) in [
        ("PATCH /v2/*", Nth::Only(2)),
        ("PUT /v2/*/blobs/*", Nth::Only(2)),
        ("PUT /v2/*/manifests/*", Nth::Only(1)),
        ("HEAD /v2/*/blobs/*", Nth::Only(1)),
        ("POST /v2/*", Nth::First(2)),
    ] {
        let bed = Bed::bearer(TokenPolicy::new("me", PASSWORD));
        bed.server.inject(Fault::new(on, nth, What::ExpiredToken));
        let image = image(bed.dir.path(), 1, &[10, 300_000]);
        if let Err(error) = bed.me().push(&image, &bed.name("some/app:v1"), &|_| {}) {
            panic!("{on}: {}\n{}", chain(&error), bed.lines.get().join("\n"));
        }
        assert!(bed.server.struck() > 0, "{on}");
        bed.server.assert_whole();
        bed.server.heal();
        bed.server.inject(Fault::new("GET /v2/*", Nth::First(2), What::ExpiredToken));
        let found = bed.me().image(&bed.name("some/app:v1"), None).unwrap();
        assert!(read(&found.layers()[1]).is_ok());
    }
}

#[test]
fn tokens_that_say_nothing_or_little_of_their_end_work() {
    for (lifetime, tells, field) in [(300, false, "access_token"), (1, true, "token"), (0, true, "token")] {
        let policy = TokenPolicy {
            lifetime: Duration::from_secs(lifetime.max(1)),
            tells_lifetime: tells,
            fields: vec![field],
            ..TokenPolicy::new("me", PASSWORD)
        };
        let bed = Bed::bearer(policy);
        let image = image(bed.dir.path(), 1, &[10]);
        bed.me().push(&image, &bed.name("some/app:v1"), &|_| {}).unwrap();
        bed.server.tokens().unwrap().revoke();
        bed.me().check_write(&bed.name("some/app:v1")).unwrap();
    }
}

#[test]
fn an_identity_token_is_exchanged_by_post() {
    let policy = TokenPolicy { identity_token: Some(PASSWORD.to_owned()), ..TokenPolicy::new("me", "other") };
    let bed = Bed::bearer(policy);
    let auth = format!(r#"{{"{}":"X-Identity {PASSWORD}"}}"#, bed.server.host());
    let auth = Credentials::from_env(&Env::from([("CNB_REGISTRY_AUTH".into(), auth.into())])).unwrap();
    let image = image(bed.dir.path(), 1, &[10]);
    bed.client(auth).push(&image, &bed.name("some/app:v1"), &|_| {}).unwrap();
    let asked = bed.server.tokens().unwrap().asked();
    assert_eq!((asked[0].method.as_str(), asked[0].grant_type.as_str()), ("POST", "refresh_token"));
    assert_eq!((asked[0].service.as_str(), asked.len()), ("testkit", 1));
}

#[test]
fn who_may_not_come_in_is_told_so_without_secrets() {
    let bed = Bed::bearer(TokenPolicy::new("me", "another password"));
    let app = bed.name("some/app:v1");
    let error = bed.me().check_read(&app).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unauthorized);
    assert_eq!(
        chain(&error),
        format!(
            "failed to check read access to `{app}`: the token server `127.0.0.1`: the registry answered 401 \
             Unauthorized: incorrect username or password (UNAUTHORIZED)"
        )
    );
    bed.lines.assert_discreet(&format!("{error:?} {}", chain(&error)));

    bed.server.tokens().unwrap().change(|policy| policy.refusal = Some(403));
    assert_eq!(bed.me().check_write(&app).unwrap_err().kind, RegistryErrorKind::Denied);
    // Allowed to read, not to write: the token is given, but good for too little.
    let policy = TokenPolicy { granted: vec!["pull".to_owned()], ..TokenPolicy::new("me", PASSWORD) };
    let bed = Bed::bearer(policy);
    let app = bed.name("some/app:v1");
    bed.me().check_read(&app).unwrap();
    assert_eq!(bed.me().check_write(&app).unwrap_err().kind, RegistryErrorKind::Unauthorized);
    let basic = Bed::new(Auth::Basic { user: "me".to_owned(), password: "another".to_owned() });
    let error = basic.me().image(&basic.name("some/app:v1"), None).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Unauthorized);
    assert!(!format!("{error:?} {}", chain(&error)).contains(PASSWORD));
}

#[test]
fn a_store_that_a_registry_redirects_to_sees_no_credentials() {
    for auth in [
        Auth::Basic { user: "me".to_owned(), password: PASSWORD.to_owned() },
        Auth::Bearer(TokenPolicy::new("me", PASSWORD)),
    ] {
        let bed = Bed::new(auth);
        let image = image(bed.dir.path(), 1, &[10, 100_000]);
        bed.me().push(&image, &bed.name("some/app:v1"), &|_| {}).unwrap();
        let store = bed.server.also_on(Ipv4Addr::new(127, 0, 0, 2)).unwrap();
        let to = format!("http://{store}{{target}}?signature=very-secret");
        bed.server.inject(Fault::new("GET /v2/*/blobs/*", Nth::All, What::RedirectTo(to)));
        bed.server.journal().forget();
        let found = bed.me().image(&bed.name("some/app:v1"), None).unwrap();
        assert!(read(&found.layers()[1]).is_ok());
        let seen = bed.server.journal().seen();
        let at_store: Vec<_> = seen.iter().filter(|s| s.request.header("host") == Some(&store)).collect();
        assert_eq!(at_store.len(), 2, "the config and a layer");
        assert!(at_store.iter().all(|s| s.request.header("authorization").is_none()));
        assert!(seen.iter().any(|s| s.request.header("authorization").is_some()));
    }
}

#[test]
fn a_token_server_that_breaks_is_tried_again_or_named() {
    let bed = Bed::bearer(TokenPolicy::new("me", PASSWORD));
    let app = bed.name("some/app:v1");
    bed.server.inject(Fault::new("GET /token", Nth::First(2), What::status(503)));
    bed.me().check_read(&app).unwrap();
    for (what, why) in [
        (What::NotJson, "its answer is not the expected JSON"),
        (What::TruncatedJson, "its answer is not the expected JSON"),
        (What::HugeBody(10 << 20), "more than the 262144 bytes that are read"),
        (What::status(503), "the registry answered 503"),
    ] {
        bed.server.heal();
        bed.server.inject(Fault::new("GET /token", Nth::All, what));
        let error = bed.me().check_write(&app).unwrap_err();
        assert!(
            chain(&error).contains(why) && chain(&error).contains("the token server"),
            "{}",
            chain(&error)
        );
    }
}
