//! `cnb copy` and `cnb inspect`: images between all places there are.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cnb_testkit::engine::{Dockerd, Podman};
use cnb_testkit::http::{Break, Seen};
use cnb_testkit::layout::{Image, Layer, write_index_layout, write_layout};
use cnb_testkit::registry::{Auth, Fault, Nth, Options, Registry, What};
use cnb_testkit::wait_for;
use serde_json::json;

use crate::support::{Bench, Done, PATIENCE, Running, User};

/// Returns an image with a layer of either kind.
fn image(bench: &Bench, content: &str) -> Image {
    bench.file("tree/etc/content", content);
    let files = vec![("bin/hello".to_owned(), format!("hello {content}"))];
    let mut image = Image::new(vec![Layer::Tree(bench.path("tree")), Layer::Files(files)]);
    image.config = json!({"Env": ["A=1"], "Labels": {"content": content}});
    image
}

fn done(mut command: Command, line: &str) -> Done {
    command.args(line.split_whitespace());
    Running::start(command).finish()
}

#[track_caller]
fn copy(bench: &Bench, line: &str) -> String {
    let found = done(bench.command(), &format!("copy {line}")).expect(0);
    found.stdout.trim_end().to_owned()
}

fn inspect(bench: &Bench, place: &str) -> serde_json::Value {
    bench.cnb(["inspect", place, "--json"]).expect(0).json()
}

#[test]
fn an_image_gets_from_every_place_to_every_other_and_stays_the_same_image() {
    let bench = Bench::new(User::Caller);
    let registry = Registry::start(Options::default()).expect("a registry");
    let docker = Dockerd::is_available().then(|| Dockerd::start().expect("dockerd"));
    let podman = Podman::is_available().then(|| Podman::serve().expect("podman"));
    let unix = |path: &Path| format!("unix://{}", path.display());
    let cnb = || {
        let mut command = bench.command();
        if let Some(docker) = &docker {
            command.env("DOCKER_HOST", unix(docker.socket()));
        }
        if let Some(socket) = podman.as_ref().and_then(Podman::socket) {
            command.env("CONTAINER_HOST", unix(&socket));
        }
        command
    };
    write_layout(&bench.path("origin"), &image(&bench, "one")).expect("a new image");
    let id = inspect(&bench, "oci:origin")["image_id"].clone();

    let mut places = vec![
        "store:test/app",
        "oci:layout:v1",
        "oci-archive:oci.tar:test/app",
        "docker-archive:docker.tar:test/app",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    places.push(format!("registry:{}/test/app", registry.host()));
    places.extend(docker.is_some().then(|| "docker:test/app".to_owned()));
    places.extend(podman.is_some().then(|| "podman:test/app".to_owned()));
    for from in &places {
        done(cnb(), &format!("copy oci:origin {from}")).expect(0);
        for to in &places {
            let to =
                &to.replace("test/app", "test/copy").replace(":v1", ":copy").replace(".tar", "-copy.tar");
            done(cnb(), &format!("copy {from} {to} --quiet")).expect(0);
            let found = done(cnb(), &format!("inspect {to} --json")).expect(0).json();
            assert_eq!(found["image_id"], id, "{from} {to}");
            assert_eq!(found["labels"]["content"], "one", "{from} {to}");
            assert_eq!(found["layers"].as_array().expect("layers").len(), 2, "{from} {to}");
        }
    }
    registry.assert_whole();
    bench.assert_nothing_is_left();
}

#[test]
fn digests_stay_where_manifests_are_kept() {
    let bench = Bench::new(User::Caller);
    let registry = Registry::start(Options::default()).expect("a registry");
    let host = registry.host();
    let digest = registry.put_image("from", "v1", &image(&bench, "one")).expect("a new image");
    for to in [
        format!("registry:{host}/to:v1"),
        "oci:layout".to_owned(),
        "oci-archive:x.tar".to_owned(),
        "store:app".to_owned(),
    ] {
        assert_eq!(copy(&bench, &format!("docker://{host}/from:v1 {to}")), digest, "{to}");
        assert_eq!(inspect(&bench, &to)["digest"], digest, "{to}");
    }
    assert_eq!(registry.tags()["to:v1"], digest);
    assert_eq!(registry.manifest("to", "v1"), registry.manifest("from", "v1"), "byte for byte");
    // The same with Docker's media types, which layouts do not keep.
    let manifest = String::from_utf8(registry.manifest("from", "v1").expect("a manifest")).expect("JSON");
    let docker = manifest
        .replace(
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        )
        .replace("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
        .replace(
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        )
        .replace(
            "application/vnd.oci.image.layer.v1.tar\"",
            "application/vnd.docker.image.rootfs.diff.tar\"",
        );
    let media_type = "application/vnd.docker.distribution.manifest.v2+json";
    let digest = registry.put_manifest("from", Some("docker"), media_type, docker.as_bytes());
    assert_eq!(copy(&bench, &format!("registry:{host}/from:docker registry:{host}/to:docker")), digest);
    let converted = copy(&bench, &format!("registry:{host}/from:docker oci:layout:docker"));
    assert_ne!(converted, digest);
    let id = |place: &str| inspect(&bench, place)["image_id"].clone();
    assert_eq!(id("oci:layout:docker"), id(&format!("registry:{host}/from:docker")));
    registry.assert_whole();
}

#[test]
fn blobs_are_mounted_within_a_registry_and_not_sent() {
    let bench = Bench::new(User::Caller);
    let registry = Registry::start(Options::default()).expect("a registry");
    let host = registry.host();
    registry.put_image("from", "v1", &image(&bench, "one")).expect("a new image");
    registry.journal().forget();
    copy(&bench, &format!("registry:{host}/from:v1 registry:{host}/to:v1"));
    let sent: Vec<String> =
        registry.journal().seen().iter().filter(|s| s.received > 0).map(Seen::line).collect();
    assert_eq!(sent, ["PUT /v2/to/manifests/v1 201"], "{:#?}", registry.journal().lines());
    registry.journal().forget();
    copy(&bench, &format!("registry:{host}/from:v1 registry:{host}/to:v1"));
    assert_eq!(registry.journal().lines_of("POST"), Vec::<String>::new(), "what is there is not begun again");
}

#[test]
fn an_index_is_copied_with_all_platforms_or_one_of_them() {
    let bench = Bench::new(User::Caller);
    let registry = Registry::start(Options::default()).expect("a registry");
    let host = registry.host();
    let mut other = image(&bench, "two");
    let own = other.platform.1.clone();
    let foreign = if own == "arm64" { "amd64" } else { "arm64" };
    other.platform.1 = foreign.to_owned();
    other.layers.remove(0);
    let index =
        write_index_layout(&bench.path("origin"), &[other, image(&bench, "one")]).expect("a new index");

    let chain = [
        "oci:origin",
        &format!("registry:{host}/a/one:v1"),
        "oci-archive:index.tar",
        &format!("registry:{host}/other:v1"),
        "oci:layout:v1",
    ];
    for pair in chain.windows(2) {
        assert_eq!(copy(&bench, &format!("{} {} --all", pair[0], pair[1])), index, "{pair:?}");
    }
    assert_eq!(registry.tags()["other:v1"], index);
    registry.assert_whole();
    let last = chain[4];
    let both = inspect(&bench, last);
    assert_eq!(both["platforms"], json!([format!("linux/{foreign}"), format!("linux/{own}")]));
    assert_eq!(both["labels"]["content"], "one", "the one for this machine");
    let theirs =
        bench.cnb(["inspect", last, "--platform", &format!("linux/{foreign}"), "--json"]).expect(0).json();
    assert_eq!(theirs["labels"]["content"], "two");

    assert_eq!(copy(&bench, &format!("{last} store:own")), both["digest"].as_str().expect("a digest"));
    let one = copy(&bench, &format!("{last} registry:{host}/one --platform linux/{foreign}"));
    assert_eq!(one, theirs["digest"].as_str().expect("a digest"));
    for to in ["store:app", "docker-archive:x.tar"] {
        let found = done(bench.command(), &format!("copy {last} {to} --all")).expect(1);
        found.says("cannot hold an index of images for several platforms").says("leave `--all` out");
    }
    assert!(!bench.path("x.tar").exists());
    done(bench.command(), &format!("copy {last} store:app --platform linux/mips"))
        .expect(1)
        .says("linux/mips");
}

#[test]
fn a_copy_that_fails_leaves_the_destination_as_it_was() {
    let bench = Bench::new(User::Caller);
    let registry = Registry::start(Options::default()).expect("a registry");
    let host = registry.host();
    write_layout(&bench.path("old"), &image(&bench, "old")).expect("a new image");
    write_layout(&bench.path("new"), &image(&bench, "new")).expect("a new image");
    let to = format!("registry:{host}/app");
    let old = copy(&bench, &format!("oci:old {to}"));
    for place in ["oci-archive:x.tar:app", "oci:layout:v1", "store:app"] {
        copy(&bench, &format!("oci:old {place}"));
    }

    registry.inject(Fault::new("PUT /v2/app/manifests/*", Nth::All, What::status(403)));
    done(bench.command(), &format!("copy oci:new {to}")).expect(1).says("hint: ");
    registry.heal();
    assert_eq!(registry.tags()["app:latest"], old);
    registry.assert_whole();

    // The source breaks off in the middle of a layer, for good.
    copy(&bench, &format!("oci:new registry:{host}/new"));
    let breaks = What::ResponseBreaks { after: 100, how: Break::Reset };
    registry.inject(Fault::new("GET /v2/new/blobs/*", Nth::After(1), breaks));
    for place in ["oci-archive:x.tar:app", "oci:layout:v1", "store:app"] {
        let digest = inspect(&bench, place)["digest"].clone();
        done(bench.command(), &format!("copy registry:{host}/new {place}")).expect(1);
        assert_eq!(inspect(&bench, place)["digest"], digest, "{place}");
    }
    let names: Vec<_> =
        fs_err::read_dir(bench.path("")).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert!(!names.iter().any(|n| n.to_string_lossy().contains("tmp")), "{names:?}");
    bench.assert_nothing_is_left();
}

#[test]
fn credentials_come_from_the_authfile_and_are_in_no_output() {
    let bench = Bench::new(User::Caller);
    let (user, password) = ("me".to_owned(), "S3cret-Passw0rd".to_owned());
    let options = Options { auth: Auth::Basic { user, password }, ..Options::default() };
    let registry = Registry::start(options).expect("a registry");
    let host = registry.host();
    write_layout(&bench.path("origin"), &image(&bench, "one")).expect("a new image");
    let auth = |text: &str| json!({"auths": {&host: {"auth": text}}}).to_string();
    bench.file("good.json", &auth("bWU6UzNjcmV0LVBhc3N3MHJk"));
    bench.file("bad.json", &auth("bWU6V3JvbmctUGFzc3cwcmQ="));
    let tried = |file: &str| {
        let line = format!("copy oci:origin registry:{host}/app --verbose --authfile {file}");
        done(bench.command(), &line)
    };
    let refused =
        tried("bad.json").expect(1).says(&format!("hint: `cnb login {host}` keeps the credentials"));
    let accepted = tried("good.json").expect(0);
    let nobody = done(bench.command(), &format!("inspect {host}/app")).expect(1);
    for found in [refused, accepted, nobody] {
        for secret in ["S3cret", "bWU6", "Wrong-Passw0rd"] {
            assert!(!found.stdout.contains(secret) && !found.stderr.contains(secret), "{found:?}");
        }
    }
}

#[test]
fn a_name_alone_is_in_the_store_or_at_the_registry_that_it_begins_with() {
    let bench = Bench::new(User::Caller);
    let registry = Registry::start(Options::default()).expect("a registry");
    let name = format!("{}/team/app:v1", registry.host());
    registry.put_image("team/app", "v1", &image(&bench, "theirs")).expect("a new image");
    let found = inspect(&bench, &name);
    assert_eq!(
        (&found["place"], &found["labels"]["content"]),
        (&json!(format!("registry:{name}")), &json!("theirs"))
    );
    write_layout(&bench.path("origin"), &image(&bench, "ours")).expect("a new image");
    copy(&bench, &format!("oci:origin {name}"));
    let found = inspect(&bench, &name);
    assert_eq!(
        (&found["place"], &found["labels"]["content"]),
        (&json!(format!("store:{name}")), &json!("ours"))
    );
    let explicit = inspect(&bench, &format!("registry:{name}"));
    assert_eq!(explicit["labels"]["content"], "theirs", "the copy went to the store alone");
    let missing = format!("{}/team/none", registry.host());
    bench.cnb(["inspect", &missing]).expect(1).says(&missing);
}

#[test]
fn engines_that_are_not_there_say_how_to_start_them() {
    let bench = Bench::new(User::Caller);
    let mut command = bench.command();
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    done(command, "inspect docker:app").expect(1).says("hint: start Docker");
}

#[test]
fn a_copy_that_is_interrupted_publishes_nothing_and_leaves_nothing() {
    let bench = Bench::new(User::Caller);
    let registry = Registry::start(Options::default()).expect("a registry");
    let host = registry.host();
    write_layout(&bench.path("old"), &image(&bench, "old")).expect("a new image");
    write_layout(&bench.path("new"), &image(&bench, "new")).expect("a new image");
    let old = copy(&bench, &format!("oci:old registry:{host}/app"));
    // An answer that takes a minute: the copy waits when the signal comes.
    let slow = What::SlowLoris { bytes: 1, every: Duration::from_secs(1) };
    registry.inject(Fault::new("POST /v2/app/blobs/uploads/*", Nth::All, slow));
    registry.journal().forget();
    let mut command = bench.command();
    command.args(["copy", "oci:new", &format!("registry:{host}/app")]);
    let running = Running::start(command);
    let begun = wait_for(PATIENCE, || !registry.journal().lines_of("POST").is_empty());
    assert!(begun, "{:#?}", registry.journal().lines());
    running.signal(rustix::process::Signal::INT);
    running.finish().expect(130);
    registry.heal();
    assert_eq!(registry.tags()["app:latest"], old);
    registry.assert_whole();
    bench.assert_nothing_is_left();
}
