//! dockerd 20.10.

use std::error::Error as _;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cnb_daemon::{Address, Engine, EngineError, Kind};
use cnb_fs::HostPath;
use cnb_image::media::{Compression, Family};
use cnb_image::{BlobSource, Image, archive, validate};
use cnb_spec::oci::{Descriptor, History};
use cnb_testkit::engine::Dockerd;
use cnb_testkit::free_port;
use cnb_testkit::openssl::Certificates;
use cnb_testkit::peers::available;

use crate::connect;
use crate::images::{config, image, layer, store};

#[test]
fn an_image_goes_to_docker_and_comes_back_with_the_same_id() {
    if !Dockerd::is_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let peer = Dockerd::start().unwrap();
    let engine = connect(peer.socket());
    engine.ping().unwrap();
    let info = engine.info().unwrap();
    assert_eq!((engine.kind(), info.driver.as_str(), info.containerd), (Kind::Docker, "overlay2", false));
    assert_eq!(info.os, "linux");
    assert_eq!(engine.image("app").unwrap(), None);

    // The same layer twice is sent once.
    let image = image(&store(dir.path()), &["base", "app", "base"]);
    let names = ["app:v1", "r.io/some/app"].map(|n| n.parse().unwrap());
    assert_eq!(engine.load(&image, &names).unwrap(), image.id());
    for name in ["app:v1", "r.io/some/app", &image.id().to_string()] {
        assert_eq!(engine.id(name).unwrap(), Some(image.id()), "{name}");
    }

    let found = engine.image("app:v1").unwrap().unwrap();
    assert_eq!(
        String::from_utf8_lossy(found.config_bytes()),
        String::from_utf8_lossy(image.config_bytes()),
        "everything that an engine keeps comes back"
    );
    let mut tar = Vec::new();
    found.layers()[1].open_tar().unwrap().read_to_end(&mut tar).unwrap();
    let mut expected = Vec::new();
    image.layers()[1].open_tar().unwrap().read_to_end(&mut expected).unwrap();
    assert_eq!(tar, expected);

    assert!(engine.remove(&image.id().to_string()).unwrap());
    assert!(!engine.exists("app:v1").unwrap());
    assert!(!engine.remove("app:v1").unwrap());
}

#[test]
fn layers_that_docker_has_are_not_sent() {
    if !Dockerd::is_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let peer = Dockerd::start().unwrap();
    let engine = connect(peer.socket());
    engine.load(&image(&store, &["base", "run"]), &["run".parse().unwrap()]).unwrap();

    let base = engine.image("run").unwrap().unwrap();
    let mut layers = base.layers().to_vec();
    layers.push(layer(&store, "app"));
    let app = Image::assemble(Family::Docker, config(&["base", "run", "app"]), layers).unwrap();
    // Would a layer of the engine be sent, it would have to be exported first, to a folder that is not there.
    let blind = engine.clone().spooling_in(&dir.path().join("missing"));
    assert_eq!(blind.load(&app, &["app".parse().unwrap()]).unwrap(), app.id());

    // Once the base is gone from the engine, its layers are taken from where they are.
    let whole = image(&store, &["base", "run", "app"]);
    for name in ["app", "run"] {
        engine.remove(name).unwrap();
    }
    assert_eq!(engine.load(&whole, &[]).unwrap(), whole.id());
}

#[test]
fn what_docker_exports_is_read_as_an_image() {
    if !Dockerd::is_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let peer = Dockerd::start().unwrap();
    let engine = connect(peer.socket());
    let image = image(&store(dir.path()), &["a", "b", "a"]);
    engine.load(&image, &["app:v1".parse().unwrap()]).unwrap();
    let file = HostPath::absolute(dir.path().join("app.tar"));
    engine.save("app:v1", file.as_path()).unwrap();
    let found = archive::read(&file, Some("app:v1"), None).unwrap();
    assert_eq!(found.id(), image.id());
    assert_eq!(validate(&found), []);
    let error = engine.save("none", file.as_path()).unwrap_err().to_string();
    assert_eq!(error, "the engine failed to export the image `none`: No such image: none (status 404)");
}

#[test]
fn a_history_with_steps_that_made_no_layer_says_nothing() {
    if !Dockerd::is_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let peer = Dockerd::start().unwrap();
    let engine = connect(peer.socket());
    let mut config = config(&["base", "ENV A=b"]);
    config.history[1].empty_layer = true;
    let image = Image::assemble(Family::Docker, config, vec![layer(&store(dir.path()), "base")]).unwrap();
    engine.load(&image, &["app".parse().unwrap()]).unwrap();
    let found = engine.image("app").unwrap().unwrap();
    assert_eq!(found.config().history, [History::default()]);
}

#[test]
fn damage_is_noticed_before_docker_has_the_image_and_the_connection_survives() {
    if !Dockerd::is_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let peer = Dockerd::start().unwrap();
    let engine = connect(peer.socket());
    let whole = image(&store, &["whole"]);
    let damaged = image(&store, &["good", "damaged"]);
    let descriptor = &damaged.layers()[1].descriptor;
    let path = store.path(&descriptor.digest);
    let mut bytes = fs_err::read(path.as_path()).unwrap();
    bytes[40] ^= 1;
    fs_err::write(path.as_path(), bytes).unwrap();

    // Without its name in the file system, the socket cannot be connected to again.
    fs_err::remove_file(peer.socket()).unwrap();
    let error = engine.load(&damaged, &["app".parse().unwrap()]).unwrap_err().to_string();
    let start = format!("the blob `{}` is damaged: its bytes have the digest `", descriptor.digest);
    assert!(error.starts_with(&start), "{error}");
    assert!(!engine.exists("app").unwrap());
    fs_err::remove_file(path.as_path()).unwrap();
    let error = engine.load(&damaged, &["app".parse().unwrap()]).unwrap_err().to_string();
    assert!(error.starts_with(&format!("the blob `{}` is missing", descriptor.digest)), "{error}");
    assert_eq!(engine.load(&whole, &["app".parse().unwrap()]).unwrap(), whole.id());
}

#[test]
fn an_engine_is_pinged_while_it_loads() {
    if !Dockerd::is_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let peer = Dockerd::start().unwrap();
    let engine = connect(peer.socket());
    fs_err::remove_file(peer.socket()).unwrap();
    let image = image(&store(dir.path()), &["a", "b", "c"]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pings = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                engine.ping()?;
            }
            Ok::<_, EngineError>(())
        });
        let loaded = engine.load(&image, &["app".parse().unwrap()]);
        done.store(true, Ordering::Relaxed);
        pings.join().unwrap().unwrap();
        assert_eq!(loaded.unwrap(), image.id());
    });
}

#[test]
fn zstd_layers_are_unpacked_for_docker() {
    if !Dockerd::is_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let peer = Dockerd::start().unwrap();
    let mut packed = layer(&store, "packed");
    let blob = zstd::encode_all(packed.open_tar().unwrap(), 1).unwrap();
    let blob = store.put(&blob).unwrap();
    packed.descriptor = Descriptor::new(Family::Oci.layer(Compression::Zstd), blob.size, blob.digest);
    packed.blob = BlobSource::File(store.path(&blob.digest));
    let image = Image::assemble(Family::Oci, config(&["packed"]), vec![packed]).unwrap();
    assert_eq!(connect(peer.socket()).load(&image, &["app".parse().unwrap()]).unwrap(), image.id());
}

#[test]
fn docker_is_reached_by_tls() {
    if !Dockerd::is_available() || !available(&["openssl"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let made = certificates(&dir.path().join("one"));
    let options = [
        "--tlsverify".to_owned(),
        format!("--tlscacert={}", made.ca.display()),
        format!("--tlscert={}", made.server.display()),
        format!("--tlskey={}", made.server_key.display()),
        format!("-H=tcp://127.0.0.1:{port}"),
    ];
    let peer = Dockerd::start_with(&options).unwrap();
    let address = |certificates: &str| {
        let host = format!("tcp://localhost:{port}");
        let certificates = dir.path().join(certificates);
        let env = [("DOCKER_HOST".into(), host.into()), ("DOCKER_CERT_PATH".into(), certificates.into())];
        Address::docker(&env.into()).unwrap()
    };
    let engine = Engine::connect(&address("one")).unwrap();
    let image = image(&store(&dir.path().join("blobs")), &["a"]);
    assert_eq!(engine.load(&image, &["app".parse().unwrap()]).unwrap(), image.id());
    assert!(connect(peer.socket()).exists("app").unwrap());

    // Another authority than the one that signed the engine's certificate.
    certificates(&dir.path().join("other"));
    let error = Engine::connect(&address("other")).unwrap_err();
    let reason = error.source().unwrap().to_string();
    assert!(reason.contains("certificate"), "{error}: {reason}");
}

/// Makes an authority and what it signs, with the client's files under the names that Docker's clients look for.
fn certificates(dir: &Path) -> Certificates {
    fs_err::create_dir(dir).unwrap();
    let made = Certificates::make(dir).unwrap();
    fs_err::copy(&made.client, dir.join("cert.pem")).unwrap();
    fs_err::copy(&made.client_key, dir.join("key.pem")).unwrap();
    made
}
