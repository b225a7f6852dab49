//! What is transferred: indexes, lists, layers from elsewhere, layers that are wrong.

use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use cnb_fs::HostPath;
use cnb_image::{BlobSource, BlobStore, Image, ImageError, Origin, Remote, media};
use cnb_registry::{Event, RegistryErrorKind};
use cnb_spec::oci::{Descriptor, Index, Platform};
use cnb_testkit::http::{Break, Journal, Response, Server as HttpServer};
use cnb_testkit::registry::{Fault, Nth, Options, Registry as Server, Storage, What};
use serde_json::json;

use crate::support::{Lines, chain, client, image, name, read, settings};

fn server() -> Server {
    Server::start(Options::default()).expect("a registry")
}

fn platform(os: &str, architecture: &str, variant: &str) -> Platform {
    let [os, architecture, variant] = [os, architecture, variant].map(str::to_owned);
    Platform { os, architecture, variant, ..Platform::default() }
}

fn entry(image: &Image, platform: Option<Platform>) -> Descriptor {
    Descriptor { platform, ..image.descriptor() }
}

#[test]
fn an_index_gives_the_image_of_the_platform_however_deep_it_is() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let registry = client(settings(&Lines::default()));
    let app = name(&server.host(), "some/app:v1");
    let images: Vec<Image> = (1..=3).map(|seed| image(dir.path(), seed, &[10])).collect();
    for image in &images {
        registry.push(image, &app.with_digest(image.digest()), &|_| {}).unwrap();
    }
    let index = |manifests| Index { manifests, ..cnb_image::layout::empty_index() };
    let arm = index(vec![
        entry(&images[0], Some(platform("linux", "arm", "v6"))),
        entry(&images[1], Some(platform("linux", "arm", "v7"))),
    ]);
    let inner = registry.push_index(&arm, &app.with_tag("arm").unwrap()).unwrap();
    let attestation =
        Descriptor { media_type: "application/vnd.example.thing+json".to_owned(), ..entry(&images[0], None) };
    let all = index(vec![
        Descriptor::new(media::index(), inner.size, inner.digest),
        attestation,
        entry(&images[2], Some(platform("linux", "amd64", ""))),
    ]);
    // What is not an image need not be in the repository.
    server.inject(Fault::new("GET /v2/*/nothing", Nth::All, What::NoRange));
    let pushed = registry.push_index(&all, &app).unwrap();
    let found = |wanted: Option<Platform>| registry.image(&app, wanted.as_ref());
    assert_eq!(found(Some(platform("linux", "arm", "v7"))).unwrap().digest(), images[1].digest());
    assert_eq!(found(Some(platform("linux", "arm", ""))).unwrap().digest(), images[0].digest());
    assert_eq!(found(Some(platform("linux", "amd64", ""))).unwrap().digest(), images[2].digest());
    if cfg!(target_arch = "x86_64") {
        assert_eq!(found(None).unwrap().digest(), images[2].digest());
    }
    let error = found(Some(platform("windows", "amd64", ""))).unwrap_err();
    assert!(error.kind == RegistryErrorKind::NoPlatform && error.is_missing());
    assert!(chain(&error).ends_with("it has linux/arm/v6, linux/arm/v7, linux/amd64"), "{}", chain(&error));
    let (descriptor, bytes) = registry.document(&app).unwrap();
    assert_eq!((descriptor.digest, descriptor.media_type), (pushed.digest, media::index()));

    // As it is, byte for byte, under another name.
    let descriptor = Descriptor::new(media::index(), bytes.len() as u64, pushed.digest);
    let copy = registry.push_document(&descriptor, bytes, &app.with_tag("copy").unwrap()).unwrap();
    assert_eq!(copy, pushed);
}

#[test]
fn tags_come_page_by_page_from_the_same_host() {
    let server = Server::start(Options { page: 2, ..Options::default() }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let registry = client(settings(&Lines::default()));
    let app = name(&server.host(), "some/app:v1");
    let image = image(dir.path(), 1, &[10]);
    for tag in ["a", "b", "c", "d", "e"] {
        registry.push(&image, &app.with_tag(tag).unwrap(), &|_| {}).unwrap();
    }
    assert_eq!(registry.tags(&app).unwrap(), ["a", "b", "c", "d", "e"]);
    assert_eq!(
        registry.tags(&name(&server.host(), "no/such")).unwrap_err().kind,
        RegistryErrorKind::NotFound
    );

    for (link, why) in [
        ("<http://127.0.0.2:1/v2/some/app/tags/list?last=a>; rel=\"next\"", "is on another host"),
        ("</v2/some/app/tags/list>; rel=\"next\"", "leads back to the same page"),
    ] {
        let odd = HttpServer::start(std::net::Ipv4Addr::LOCALHOST, Arc::<Journal>::default(), |_| {
            Arc::new(move |_, _| {
                io::Result::Ok(Response::json(200, &json!({"tags": ["a"]})).with("Link", link).whole())
            })
        });
        let odd = odd.unwrap();
        let error = registry.tags(&name(&odd.address().to_string(), "some/app:v1")).unwrap_err();
        assert!(
            error.kind == RegistryErrorKind::Invalid && chain(&error).ends_with(why),
            "{}",
            chain(&error)
        );
    }
}

#[test]
fn what_refers_to_an_image_is_listed_by_the_registry_or_by_a_tag() {
    for referrers in [true, false] {
        let server = Server::start(Options { referrers, ..Options::default() }).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let registry = client(settings(&Lines::default()));
        let app = name(&server.host(), "some/app:v1");
        let image = image(dir.path(), 1, &[10]);
        registry.push(&image, &app, &|_| {}).unwrap();
        assert_eq!(registry.referrers(&app).unwrap().manifests, []);
        for kind in ["application/spdx+json", "application/vnd.example.signature"] {
            let artifact = json!({
                "schemaVersion": 2,
                "mediaType": media::Family::Oci.manifest(),
                "artifactType": kind,
                "config": image.manifest().config,
                "layers": [],
                "subject": image.descriptor(),
                "annotations": {"of": kind},
            });
            let bytes = artifact.to_string().into_bytes();
            let digest = cnb_image::blob_store::digest_of(&bytes);
            let descriptor = Descriptor::new(media::Family::Oci.manifest(), bytes.len() as u64, digest);
            for _ in 0..2 {
                registry.push_document(&descriptor, bytes.clone(), &app.with_digest(digest)).unwrap();
            }
        }
        let found = registry.referrers(&app.with_digest(image.digest())).unwrap();
        let mut kinds: Vec<_> = found
            .manifests
            .iter()
            .map(|d| (d.artifact_type.as_str(), d.annotations["of"].as_str()))
            .collect();
        kinds.sort_unstable();
        let expected =
            ["application/spdx+json", "application/vnd.example.signature"].map(|kind| (kind, kind));
        assert_eq!(kinds, expected, "{referrers}");
        let tag = format!("some/app:sha256-{}", image.digest().hex());
        assert_eq!(server.tags().contains_key(&tag), !referrers);
        server.assert_whole();
    }
}

#[test]
fn layers_of_another_registry_pass_through_also_when_it_breaks() {
    let (from, to) = (server(), server());
    let (dir, lines) = (tempfile::tempdir().unwrap(), Lines::default());
    let registry = client(settings(&lines));
    let image = image(dir.path(), 1, &[10, 400_000, 300_000]);
    registry.push(&image, &name(&from.host(), "some/app:v1"), &|_| {}).unwrap();
    let found = registry.image(&name(&from.host(), "some/app:v1"), None).unwrap();
    let broken = |after, how| What::ResponseBreaks { after, how };
    from.inject(Fault::new("GET /v2/*/blobs/*", Nth::First(4), broken(200_000, Break::Reset)));
    to.inject(Fault::new("PATCH *", Nth::Only(2), What::RequestBreaks { after: 1000, how: Break::Reset }));
    // Another client, with a runtime of its own.
    let other = client(settings(&lines));
    if let Err(error) = other.push(&found, &name(&to.host(), "other/app:v2"), &|_| {}) {
        panic!("{}\n{}", chain(&error), lines.get().join("\n"));
    }
    to.assert_whole();
    assert_eq!(to.tags()["other/app:v2"], image.digest().to_string());
    assert!(from.struck() > 0 && to.struck() > 0);

    // A source that lies is found out, and named.
    from.heal();
    from.inject(Fault::new("GET /v2/*/blobs/*", Nth::All, What::WrongBytes));
    let error = other.push(&found, &name(&to.host(), "third/app:v1"), &|_| {}).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Invalid);
    assert!(chain(&error).contains("is damaged: its bytes have the digest"), "{}", chain(&error));
    from.heal();
    from.inject(Fault::new("GET /v2/*/blobs/*", Nth::All, What::status(403)));
    let error = other.push(&found, &name(&to.host(), "third/app:v1"), &|_| {}).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Denied);
    let place = format!("of `{}/some/app`: the registry answered 403 Forbidden", from.host());
    assert!(chain(&error).contains(&place), "{}", chain(&error));
    assert!(!to.tags().contains_key("third/app:v1"));
    to.assert_whole();
}

#[test]
fn a_damaged_layer_is_never_complete_at_the_registry() {
    for size in [1_000, 300_000] {
        let (server, dir) = (server(), tempfile::tempdir().unwrap());
        let registry = client(settings(&Lines::default()));
        let image = image(dir.path(), 1, &[size]);
        let BlobSource::File(file) = &image.layers()[0].blob else { panic!("layers are files") };
        let mut bytes = fs_err::read(file.as_path()).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs_err::write(file.as_path(), bytes).unwrap();
        let error = registry.push(&image, &name(&server.host(), "some/app:v1"), &|_| {}).unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::Invalid);
        assert!(chain(&error).contains("is damaged: its bytes have the digest"), "{}", chain(&error));
        fs_err::remove_file(file.as_path()).unwrap();
        let error = registry.push(&image, &name(&server.host(), "some/app:v1"), &|_| {}).unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::Image);
        assert!(chain(&error).contains("is missing in"), "{}", chain(&error));
        assert_eq!((server.blobs("some/app"), server.tags().len()), (Vec::new(), 0));
        assert!(
            server.journal().lines_of("PUT").iter().all(|l| l.ends_with('-')),
            "{:?}",
            server.journal().lines()
        );
    }
}

#[derive(Debug)]
struct Engine;

impl Origin for Engine {
    fn place(&self) -> String {
        "the engine".to_owned()
    }

    fn repository(&self) -> Option<(&str, &str)> {
        None
    }

    fn open(&self, _: &Descriptor) -> Result<Box<dyn Read + Send>, ImageError> {
        Ok(Box::new(io::empty()))
    }
}

#[test]
fn layers_without_a_blob_cannot_be_pushed() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let made = image(dir.path(), 1, &[10]);
    let mut layers = made.layers().to_vec();
    layers[0].blob = BlobSource::Remote(Remote(Arc::new(Engine)));
    let image = Image::assemble(made.family(), made.config().clone(), layers).unwrap();
    let registry = client(settings(&Lines::default()));
    let error = registry.push(&image, &name(&server.host(), "some/app:v1"), &|_| {}).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::Image);
    assert!(
        chain(&error).ends_with("is known to `the engine` only by its uncompressed content"),
        "{}",
        chain(&error)
    );
    assert!(server.journal().lines().is_empty());
}

#[test]
fn an_image_is_stored_layer_by_layer_and_only_what_is_missing_is_read() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let registry = client(settings(&Lines::default()));
    let app = name(&server.host(), "some/app:v1");
    let image = image(dir.path(), 1, &[10, 300_000, 20, 100_000, 30]);
    registry.push(&image, &app, &|_| {}).unwrap();
    let found = registry.image(&app, None).unwrap();
    let store = BlobStore::open(&HostPath::absolute(dir.path().join("other"))).unwrap();
    let events = Mutex::new(Vec::new());
    let note = |event| events.lock().unwrap().push(event);
    let stored = registry.store(&found, &store, &note).unwrap();
    for (ours, theirs) in image.layers().iter().zip(stored.layers()) {
        assert_eq!(read(ours), read(theirs));
        assert!(matches!(theirs.blob, BlobSource::File(_)));
    }
    let told = events.lock().unwrap().drain(..).fold((0, 0), |(bytes, sent), event| match event {
        Event::Bytes(_, count) => (bytes + count, sent),
        Event::Sent(_) => (bytes, sent + 1),
        Event::Exists(_) => panic!("the store was empty"),
    });
    assert_eq!(told, (image.size(), 5));
    server.journal().forget();
    registry.store(&found, &store, &note).unwrap();
    assert!(server.journal().lines().is_empty());

    let empty = BlobStore::open(&HostPath::absolute(dir.path().join("third"))).unwrap();
    server.inject(Fault::new("GET /v2/*/blobs/*", Nth::After(2), What::status(404)));
    let error = registry.store(&found, &empty, &note).unwrap_err();
    assert_eq!(error.kind, RegistryErrorKind::NotFound, "{}", chain(&error));
}

#[test]
fn an_image_is_whole_when_all_its_layers_are_there() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let registry = client(settings(&Lines::default()));
    let app = name(&server.host(), "some/app:v1");
    let image = image(dir.path(), 1, &[10, 20, 30]);
    registry.push(&image, &app, &|_| {}).unwrap();
    assert!(registry.has_layers(&app, &image).unwrap());
    server.inject(Fault::new("HEAD /v2/*/blobs/*", Nth::Only(2), What::status(404)));
    assert!(!registry.has_layers(&app, &image).unwrap());
    server.heal();
    server.inject(Fault::new("HEAD /v2/*/blobs/*", Nth::All, What::status(403)));
    assert_eq!(registry.has_layers(&app, &image).unwrap_err().kind, RegistryErrorKind::Denied);
}

#[test]
fn a_registry_that_deletes_nothing_says_so() {
    let server = Server::start(Options { deletes: false, ..Options::default() }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let registry = client(settings(&Lines::default()));
    let app = name(&server.host(), "some/app:v1");
    registry.push(&image(dir.path(), 1, &[10]), &app, &|_| {}).unwrap();
    assert!(matches!(registry.delete(&app).unwrap_err().kind, RegistryErrorKind::Status(405)));
}

#[test]
fn registries_that_differ_where_they_may_are_all_the_same() {
    for options in [
        Options { absolute_locations: true, ..Options::default() },
        Options { mounts: false, ranges: false, ..Options::default() },
        Options { chunk_min: Some(150_000), ..Options::default() },
        Options { storage: Storage::Directory, ..Options::default() },
    ] {
        let server = Server::start(options).unwrap();
        let (dir, lines) = (tempfile::tempdir().unwrap(), Lines::default());
        let registry = client(settings(&lines));
        let image = image(dir.path(), 1, &[10, 400_000]);
        registry.push(&image, &name(&server.host(), "some/app:v1"), &|_| {}).unwrap();
        let found = registry.image(&name(&server.host(), "some/app:v1"), None).unwrap();
        registry.push(&found, &name(&server.host(), "other/app:v1"), &|_| {}).unwrap();
        assert_eq!((server.tags().len(), server.open_uploads()), (2, 0));
        server.assert_whole();
    }
}
