//! Every way in which a registry goes wrong ends in success after another attempt, or in one clear error; and
//! nothing is ever half published.

use std::time::Duration;

use crate::support::{Lines, chain, client, image, name, read, settings};
use cnb_image::Image;
use cnb_registry::{Registry, RegistryError, RegistryErrorKind};
use cnb_testkit::http::Break;
use cnb_testkit::registry::{Fault, Nth, Options, Registry as Server, RetryAfter, What};

/// A registry with the tag `app:v1`, whose image has the layers of 10 and 300 000 bytes.
struct Bed {
    server: Server,
    registry: Registry,
    lines: Lines,
    old: Image,
    dir: tempfile::TempDir,
}

impl Bed {
    fn new(options: Options) -> Self {
        let server = Server::start(options).expect("a registry");
        let lines = Lines::default();
        let registry = client(settings(&lines));
        let dir = tempfile::tempdir().expect("a directory");
        let old = image(dir.path(), 1, &[10, 300_000]);
        registry.push(&old, &name(&server.host(), "some/app:v1"), &|_| {}).expect("a healthy registry");
        server.journal().forget();
        Self { server, registry, lines, old, dir }
    }

    /// Pushes another image to the tag while `fault` strikes; returns why that failed, if it did.
    fn push(&self, fault: &Fault) -> Option<RegistryError> {
        self.server.inject(fault.clone());
        let new = image(self.dir.path(), 2, &[10, 300_000]);
        let result = self.registry.push(&new, &name(&self.server.host(), "some/app:v1"), &|_| {});
        assert!(self.server.struck() > 0, "{fault:?} did not strike: {:#?}", self.server.journal().lines());
        self.server.assert_whole();
        let expected = if result.is_ok() { new.digest() } else { self.old.digest() };
        if !matches!(fault.what, What::WrongDigestHeader) {
            assert_eq!(self.server.tags()["some/app:v1"], expected.to_string(), "{fault:?}");
        }
        result.err()
    }
}

const UPLOAD: &str = "/v2/some/app/blobs/uploads/*";
const MANIFEST: &str = "/v2/some/app/manifests/v1";

fn fault(method: &str, path: &str, nth: Nth, what: What) -> Fault {
    Fault::new(&format!("{method} {path}"), nth, what)
}

#[track_caller]
fn push_succeeds(fault: &Fault) {
    let bed = Bed::new(Options::default());
    if let Some(error) = bed.push(fault) {
        panic!("{fault:?}: {}\n{}", chain(&error), bed.lines.get().join("\n"));
    }
    // Of an upload whose opening was never answered nobody knows.
    if fault.what != What::CloseBeforeAnswer {
        assert_eq!(bed.server.open_uploads(), 0, "{fault:?} left an upload open");
    }
}

#[test]
fn a_push_survives_bad_moments() {
    for status in [408, 429, 500, 502, 503, 504] {
        push_succeeds(&fault("HEAD", "/v2/some/app/blobs/*", Nth::First(2), What::status(status)));
        push_succeeds(&fault("POST", UPLOAD, Nth::First(2), What::status(status)));
        push_succeeds(&fault("PATCH", UPLOAD, Nth::First(2), What::status(status)));
        push_succeeds(&fault("PUT", UPLOAD, Nth::First(2), What::status(status)));
        push_succeeds(&fault("PUT", MANIFEST, Nth::First(2), What::status(status)));
    }
    for hint in [RetryAfter::Seconds(3600), RetryAfter::Date(2), RetryAfter::Seconds(0)] {
        push_succeeds(&fault("POST", UPLOAD, Nth::First(2), What::rate_limit(hint)));
    }
}

#[test]
fn a_push_survives_connections_that_break() {
    for how in [Break::Reset, Break::Close, Break::Stall] {
        for after in [0, 1, 40_000] {
            let breaks = What::RequestBreaks { after, how };
            push_succeeds(&fault("PATCH", UPLOAD, Nth::Only(2), breaks.clone()));
            push_succeeds(&fault("PATCH", UPLOAD, Nth::First(2), breaks));
        }
        push_succeeds(&fault("PUT", UPLOAD, Nth::Only(1), What::RequestBreaks { after: 5, how }));
        push_succeeds(&fault("PUT", MANIFEST, Nth::First(1), What::RequestBreaks { after: 5, how }));
    }
    for method in ["HEAD", "POST", "PATCH", "PUT"] {
        for nth in [Nth::Only(1), Nth::Only(2)] {
            push_succeeds(&fault(method, "/v2/some/app/*", nth, What::CloseBeforeAnswer));
        }
    }
    for what in [What::ConnectionClose, What::SilentClose] {
        push_succeeds(&fault("*", "/v2/some/app/*", Nth::All, what));
    }
}

#[test]
fn a_push_survives_a_registry_that_loses_its_place() {
    push_succeeds(&fault("PATCH", UPLOAD, Nth::Only(2), What::LostUpload));
    push_succeeds(&fault("PUT", UPLOAD, Nth::Only(1), What::LostUpload));
    push_succeeds(&fault("PATCH", UPLOAD, Nth::Only(1), What::status(416)));
    push_succeeds(&fault("PATCH", UPLOAD, Nth::Only(2), What::BadRangeHeader("0-99".to_owned())));
    push_succeeds(&fault("PATCH", UPLOAD, Nth::Only(2), What::BadRangeHeader("0-99999999".to_owned())));
    push_succeeds(&fault("PATCH", UPLOAD, Nth::All, What::BadRangeHeader("none".to_owned())));
    // Some registries take a blob in one request only.
    for status in [400, 405, 411, 501] {
        push_succeeds(&fault("PATCH", UPLOAD, Nth::After(1), What::status(status)));
        push_succeeds(&fault("PATCH", UPLOAD, Nth::All, What::status(status)));
    }
}

#[test]
fn a_push_that_fails_says_why_and_leaves_the_tag() {
    use RegistryErrorKind as Kind;
    let said = |status: &str| format!("the registry answered {status}: injected by the test (UNKNOWN)");
    for (method, path) in [("HEAD", "/v2/some/app/blobs/*"), ("POST", UPLOAD), ("PUT", MANIFEST)] {
        let why = |status: &str| {
            if method == "HEAD" { format!("the registry answered {status}") } else { said(status) }
        };
        check_failure(method, path, 403, Kind::Denied, &why("403 Forbidden"));
        check_failure(method, path, 503, Kind::Status(503), &why("503 Service Unavailable"));
    }
    check_failure("PATCH", UPLOAD, 403, Kind::Denied, &said("403 Forbidden"));
    check_failure("PATCH", UPLOAD, 503, Kind::Status(503), &said("503 Service Unavailable"));
    check_failure("PATCH", UPLOAD, 413, Kind::Status(413), &said("413 Payload Too Large"));
    check_failure("PUT", UPLOAD, 400, Kind::Status(400), &said("400 Bad Request"));
    check_failure("PUT", MANIFEST, 400, Kind::Status(400), &said("400 Bad Request"));
}

#[track_caller]
fn check_failure(method: &str, path: &str, status: u16, kind: RegistryErrorKind, why: &str) {
    let bed = Bed::new(Options::default());
    let fault = fault(method, path, Nth::All, What::status(status));
    let error = bed.push(&fault).expect("a registry that cannot be pushed to");
    let expected = format!("failed to push `{}/some/app:v1`: {why}", bed.server.host());
    assert_eq!((error.kind, chain(&error)), (kind, expected), "{fault:?}");
}

#[test]
fn a_registry_that_names_another_digest_is_not_believed() {
    let bed = Bed::new(Options::default());
    let error = bed.push(&fault("PUT", MANIFEST, Nth::All, What::WrongDigestHeader)).unwrap();
    assert_eq!(error.kind, RegistryErrorKind::Invalid);
    assert!(chain(&error).contains("but says that it has the digest `sha256:"), "{}", chain(&error));
}

#[track_caller]
fn read_succeeds(on: &str, nth: Nth, what: &What) {
    let bed = Bed::new(Options::default());
    bed.server.inject(Fault::new(on, nth, what.clone()));
    let found = match bed.registry.image(&name(&bed.server.host(), "some/app:v1"), None) {
        Ok(found) => found,
        Err(error) => panic!("{what:?}: {}\n{}", chain(&error), bed.lines.get().join("\n")),
    };
    for (ours, theirs) in bed.old.layers().iter().zip(found.layers()) {
        let bytes = read(theirs).unwrap_or_else(|e| panic!("{what:?}: {e}\n{}", bed.lines.get().join("\n")));
        assert!(bytes == read(ours).expect("a file"), "{what:?}");
    }
    assert!(bed.server.struck() > 0, "{what:?} did not strike: {:#?}", bed.server.journal().lines());
}

#[track_caller]
fn read_fails(on: &str, what: &What, kind: RegistryErrorKind, why: &str) {
    let bed = Bed::new(Options::default());
    bed.server.inject(Fault::new(on, Nth::All, what.clone()));
    let error =
        bed.registry.image(&name(&bed.server.host(), "some/app:v1"), None).expect_err("a broken registry");
    let text = chain(&error);
    assert!(error.kind == kind && text.contains(why), "{what:?}: {:?} {text}", error.kind);
}

const GET_MANIFEST: &str = "GET /v2/some/app/manifests/v1";
const GET_BLOB: &str = "GET /v2/some/app/blobs/*";

#[test]
fn reading_survives_bad_moments() {
    for on in [GET_MANIFEST, GET_BLOB] {
        for status in [408, 429, 500, 502, 503, 504] {
            read_succeeds(on, Nth::First(2), &What::status(status));
        }
        for how in [Break::Reset, Break::Close, Break::Stall] {
            read_succeeds(on, Nth::First(2), &What::ResponseBreaks { after: 7, how });
        }
        read_succeeds(on, Nth::First(2), &What::CloseBeforeAnswer);
        read_succeeds(on, Nth::All, &What::ConnectionClose);
        read_succeeds(on, Nth::All, &What::SilentClose);
        read_succeeds(on, Nth::All, &What::SlowLoris { bytes: 100_000, every: Duration::from_millis(1) });
    }
    for how in [Break::Reset, Break::Close, Break::Stall] {
        read_succeeds(GET_BLOB, Nth::After(1), &What::ResponseBreaks { after: 140_000, how });
    }
}

#[test]
fn a_layer_goes_on_where_the_connection_broke() {
    let bed = Bed::new(Options::default());
    let image = bed.registry.image(&name(&bed.server.host(), "some/app:v1"), None).unwrap();
    bed.server.inject(Fault::new(
        GET_BLOB,
        Nth::Only(1),
        What::ResponseBreaks { after: 200_000, how: Break::Reset },
    ));
    bed.server.journal().forget();
    assert!(read(&image.layers()[1]).is_ok());
    let seen = bed.server.journal().seen();
    let range = seen.last().unwrap().request.header("range").unwrap().to_owned();
    assert!(range.starts_with("bytes=") && range.ends_with('-') && range != "bytes=0-", "{range}");
    // A registry that knows no ranges, or gets them wrong.
    for what in [What::NoRange, What::BadRangeHeader("bytes 5-10/11".to_owned())] {
        let fails = matches!(what, What::BadRangeHeader(_));
        bed.server.heal();
        let broken = What::ResponseBreaks { after: 200_000, how: Break::Reset };
        bed.server.inject(Fault::new(GET_BLOB, Nth::Only(1), broken));
        bed.server.inject(Fault::new(GET_BLOB, Nth::After(1), what));
        let result = read(&image.layers()[1]);
        assert_eq!(result.is_err(), fails, "{:?}", result.err());
        if let Err(error) = result {
            assert!(
                error.contains("the registry sent the range `bytes 5-10/11` instead of `bytes "),
                "{error}"
            );
        }
    }
}

#[test]
fn what_is_not_what_was_asked_for_is_refused() {
    use RegistryErrorKind as Kind;
    let wrong = "instead of `sha256:";
    read_fails(GET_MANIFEST, &What::WrongBytes, Kind::Invalid, wrong);
    read_fails(GET_MANIFEST, &What::WrongDigestHeader, Kind::Invalid, wrong);
    read_fails(GET_MANIFEST, &What::TruncatedJson, Kind::Invalid, wrong);
    read_fails(GET_MANIFEST, &What::NotJson, Kind::Invalid, "the manifest is malformed");
    read_fails(
        GET_MANIFEST,
        &What::HugeBody(100 << 20),
        Kind::Invalid,
        "more than the 4194304 bytes that are read",
    );
    read_fails(GET_MANIFEST, &What::RedirectLoop, Kind::Invalid, "was redirected more than 5 times");
    read_fails(GET_BLOB, &What::WrongBytes, Kind::Invalid, "its bytes have the digest");
    read_fails(GET_BLOB, &What::TruncatedJson, Kind::Invalid, "of its");
    read_fails(GET_BLOB, &What::HugeBody(100 << 20), Kind::Invalid, "the answer has more than the");
    read_fails(GET_BLOB, &What::status(503), Kind::Status(503), "503 Service Unavailable");
    let crawl = What::SlowLoris { bytes: 1, every: Duration::from_millis(20) };
    read_fails(GET_MANIFEST, &crawl, Kind::Unreachable, "did not answer within");
    let stall = What::ResponseBreaks { after: 5, how: Break::Stall };
    read_fails(GET_MANIFEST, &stall, Kind::Unreachable, "the connection fell silent");
}

#[test]
fn a_layer_that_is_wrong_is_never_taken_for_right() {
    let bed = Bed::new(Options::default());
    let image = bed.registry.image(&name(&bed.server.host(), "some/app:v1"), None).unwrap();
    let digest = image.layers()[1].descriptor.digest;
    let check = |what: What, why: &str| {
        bed.server.heal();
        bed.server.inject(Fault::new(GET_BLOB, Nth::All, what));
        let error = read(&image.layers()[1]).unwrap_err();
        assert!(error.contains(&digest.to_string()) && error.contains(why), "{error}");
    };
    check(What::WrongBytes, "is damaged: its bytes have the digest `sha256:");
    check(What::TruncatedJson, "bytes of it where");
    check(What::HugeBody(1 << 30), "it has more than its");
    check(What::status(404), "the registry answered 404 Not Found");
    check(What::ResponseBreaks { after: 5, how: Break::Close }, "failed to read the blob");
}
