//! Podman 4.3, by its API that is compatible with Docker's.

use cnb_daemon::Kind;
use cnb_fs::HostPath;
use cnb_image::media::Family;
use cnb_image::{Image, archive, validate};
use cnb_testkit::engine::Podman;

use crate::connect;
use crate::images::{config, image, layer, store};

#[test]
fn an_image_goes_to_podman_and_comes_back_with_the_same_id() {
    if !Podman::is_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let peer = Podman::serve().unwrap();
    let engine = connect(&peer.socket().unwrap());
    engine.ping().unwrap();
    assert_eq!(engine.kind(), Kind::Podman);
    assert!(!engine.info().unwrap().containerd);
    assert_eq!(engine.image("app").unwrap(), None);

    let image = image(&store, &["base", "app", "base"]);
    let names = ["app:v1", "r.io/some/app"].map(|n| n.parse().unwrap());
    assert_eq!(engine.load(&image, &names).unwrap(), image.id());
    for name in ["app:v1", "r.io/some/app", &image.id().to_string()] {
        assert_eq!(engine.id(name).unwrap(), Some(image.id()), "{name}");
    }
    let found = engine.image("app:v1").unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(found.config_bytes()), String::from_utf8_lossy(image.config_bytes()));

    let mut layers = found.layers().to_vec();
    layers.push(layer(&store, "more"));
    let more = Image::assemble(Family::Docker, config(&["base", "app", "base", "more"]), layers).unwrap();
    // Would a layer of the engine be sent, it would have to be exported first, to a folder that is not there.
    let blind = engine.clone().spooling_in(&dir.path().join("missing"));
    assert_eq!(blind.load(&more, &["more".parse().unwrap()]).unwrap(), more.id());

    let file = HostPath::absolute(dir.path().join("more.tar"));
    engine.save("more", file.as_path()).unwrap();
    let saved = archive::read(&file, None, None).unwrap();
    assert_eq!(saved.id(), more.id());
    assert_eq!(validate(&saved), []);
    assert!(engine.remove("more").unwrap());
    assert_eq!(engine.load(&image, &[]).unwrap(), image.id(), "a name is not needed");
}
