//! What the client makes of good and bad answers.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use cnb_daemon::{Address, Engine, EngineError, Interrupt};
use cnb_image::Image;
use cnb_image::media::Family;

use crate::fake::{Fake, Reply};
use crate::images::{config, image, layer, store};

fn inspect(image: &Image) -> String {
    let layers: Vec<String> = image.layers().iter().map(|l| format!("\"{}\"", l.diff_id)).collect();
    format!(
        r#"{{"Id":"{}","Created":"1980-01-01T00:00:01Z","Os":"linux","Architecture":"amd64","RootFS":{{"Layers":[{}]}}}}"#,
        image.id(),
        layers.join(",")
    )
}

const OVERLAY: &str = r#"{"Driver":"overlay2","DriverStatus":[["Backing Filesystem","extfs"]]}"#;
const CONTAINERD: &str =
    r#"{"Driver":"overlayfs","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]]}"#;
const VERSION: &str = r#"{"Version":"20.10.24","Os":"linux","Arch":"amd64"}"#;
const LOADED: &str = "{\"stream\":\"Loaded image: app:latest\\n\"}\n";

/// Answers as an engine that has one image, `run`, and says `loads` to what is loaded.
fn engine(
    run: String,
    info: &'static str,
    mut loads: impl FnMut() -> Reply + Send + 'static,
    has: String,
) -> Fake {
    Fake::docker(move |line| {
        if line.contains("/images/load") {
            return loads();
        }
        Reply::Body(
            200,
            match line {
                "GET /v1.41/info" => info.to_owned(),
                "GET /v1.41/version" => VERSION.to_owned(),
                "GET /v1.41/images/run/json" => run.clone(),
                line if line.ends_with("/history") => "[]".to_owned(),
                _ => has.clone(),
            },
        )
    })
}

/// Two images, the second of which has one more layer.
fn images() -> (tempfile::TempDir, Image, Image) {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let run = image(&store, &["base", "run"]);
    let mut layers = run.layers().to_vec();
    layers.push(layer(&store, "app"));
    let app = Image::assemble(Family::Docker, config(&["base", "run", "app"]), layers).unwrap();
    (dir, run, app)
}

/// Returns names and sizes of the layers in every tar that was sent.
fn sent(fake: &Fake) -> Vec<Vec<String>> {
    let tars = fake.asked().into_iter().filter(|a| a.line.contains("/images/load")).map(|a| a.tar);
    tars.map(|tar| {
        let layers = tar.into_iter().filter(|(name, _)| !name.contains("json"));
        layers.map(|(name, size)| if size == 0 { name } else { "layer".to_owned() }).collect()
    })
    .collect()
}

#[test]
fn layers_of_the_engine_are_blank_and_sent_when_it_refuses_that() {
    let (_dir, run, app) = images();
    let mut tries = 0;
    let loads = move || {
        tries += 1;
        match tries {
            1 => Reply::Body(
                200,
                r#"{"errorDetail":{"message":"invalid diffID"},"error":"invalid diffID"}"#.into(),
            ),
            _ => Reply::Body(200, LOADED.into()),
        }
    };
    let fake = engine(inspect(&run), OVERLAY, loads, inspect(&app));
    let engine = fake.connect();
    engine.image("run").unwrap().unwrap();
    assert_eq!(engine.load(&app, &["app".parse().unwrap()]).unwrap(), app.id());
    assert_eq!(sent(&fake), [["blank_0", "blank_1", "layer"], ["layer", "layer", "layer"]]);
}

#[test]
fn containerds_store_is_given_all_layers_and_has_ids_of_its_own() {
    let (_dir, run, app) = images();
    let other = format!("sha256:{}", "5".repeat(64));
    let has = inspect(&app).replace(&app.id().to_string(), &other);
    let fake = engine(inspect(&run), CONTAINERD, || Reply::Body(200, LOADED.into()), has);
    let engine = fake.connect();
    engine.image("run").unwrap().unwrap();
    assert_eq!(engine.load(&app, &["app".parse().unwrap()]).unwrap().to_string(), other);
    assert_eq!(sent(&fake), [["layer", "layer", "layer"]]);
}

#[test]
fn another_image_than_the_one_that_was_loaded_is_noticed() {
    let (_dir, run, app) = images();
    let fake = engine(inspect(&run), OVERLAY, || Reply::Body(200, LOADED.into()), inspect(&run));
    let error = fake.connect().load(&app, &["app".parse().unwrap()]).unwrap_err().to_string();
    let expected = format!(
        "the engine does not have the image `{}` after loading it: `{}` is `{}`",
        app.id(),
        app.id(),
        run.id()
    );
    assert_eq!(error, expected);
}

#[test]
fn a_load_is_given_up_as_soon_as_somebody_says_so() {
    let (_dir, run, app) = images();
    let ((started, starts), (release, released)) = (mpsc::channel(), mpsc::channel::<()>());
    let silent = move || {
        started.send(()).unwrap();
        // Until the test lets it go, the engine says nothing.
        let _ = released.recv();
        Reply::Body(200, LOADED.to_owned())
    };
    let fake = engine(inspect(&run), OVERLAY, silent, inspect(&app));
    let stop = Arc::new(tokio::sync::watch::Sender::new(false));
    let watched = Arc::clone(&stop);
    let interrupt = Interrupt::new(move || {
        let mut stopped = watched.subscribe();
        async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    });
    let engine = fake.connect().given_up_by(interrupt);
    let error = std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            starts.recv().unwrap();
            stop.send_replace(true);
        });
        engine.load(&app, &["app".parse().unwrap()]).unwrap_err()
    });
    assert!(error.is_stopped(), "{error}");
    drop((engine, release));
}

#[test]
fn an_engine_that_refuses_early_is_heard() {
    let (_dir, run, app) = images();
    let refusal = || Reply::Early(507, r#"{"message":"no space left on device"}"#.into());
    let fake = engine(inspect(&run), OVERLAY, refusal, inspect(&app));
    let error = fake.connect().load(&app, &["app:v1".parse().unwrap()]).unwrap_err().to_string();
    assert_eq!(error, "the engine did not load the image `app:v1`: no space left on device");
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    let fake = Fake::docker(|_| Reply::AndClose(404, r#"{"message":"no such image"}"#.into()));
    let engine = fake.connect();
    // Often, since it depends on the moment how a closed connection shows: as an end, or as a reset.
    for _ in 0..1000 {
        assert_eq!(engine.id("app").unwrap(), None);
    }
}

#[test]
fn a_connection_that_cannot_be_opened_again_is_explained() {
    let fake = Fake::docker(|_| Reply::AndClose(404, r#"{"message":"no such image"}"#.into()));
    let engine = fake.connect();
    assert_eq!(engine.id("app").unwrap(), None);
    let hidden = fake.socket().with_extension("hidden");
    fs_err::rename(fake.socket(), &hidden).unwrap();
    let error = engine.id("app").unwrap_err();
    fs_err::rename(&hidden, fake.socket()).unwrap();
    let address = fake.address();
    assert_eq!(
        error.to_string(),
        format!("the engine at `{address}` closed the connection, and a new one could not be opened")
    );
    assert_eq!(error.source().unwrap().to_string(), format!("no engine listens at `{address}`"));
}

#[test]
fn what_is_no_engine_is_told_apart() {
    let answer = |text: &'static str| Fake::raw(move |_| Reply::Raw(text.to_owned()));
    for (text, reason) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "it answers `/_ping` with status 404"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", "its answer has no header `Api-Version`"),
    ] {
        let fake = answer(text);
        let error = Engine::connect(&fake.address()).unwrap_err().to_string();
        let address = fake.address();
        assert_eq!(error, format!("what listens at `{address}` is no Docker or Podman engine: {reason}"));
    }
    let fake = answer("220 mail.test ESMTP\r\n");
    let error = Engine::connect(&fake.address()).unwrap_err();
    assert!(matches!(error, EngineError::Broken { .. }), "{error}");
}

#[test]
fn nobody_who_listens_is_an_error_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    for (name, remedy) in [("docker.sock", "start Docker"), ("podman.sock", "start Podman's service")] {
        let path = dir.path().join(name);
        let error = Engine::connect(&Address::Unix(path.clone())).unwrap_err();
        assert_eq!(error.to_string(), format!("no engine listens at `unix://{}`", path.display()));
        assert!(error.remedy().unwrap().starts_with(remedy), "{:?}", error.remedy());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = Engine::connect(&Address::Unix(path)).unwrap_err();
        assert!(matches!(error, EngineError::Absent { .. }), "{error}");
    }
}

#[test]
fn an_engine_that_says_nothing_is_given_up_by_whoever_does_not_need_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.sock");
    // The kernel takes the connection; nobody ever answers.
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (begun, soon) = (Instant::now(), Duration::from_millis(50));
    let error = Engine::connect_within(&Address::Unix(path), soon, soon).unwrap_err();
    assert!(matches!(error, EngineError::NoAnswer { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn an_export_that_breaks_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.tar");
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let fake = Fake::docker(move |_| Reply::Raw(half.to_owned()));
    let error = fake.connect().save("app", &file).unwrap_err().to_string();
    let address = fake.address();
    assert_eq!(
        error,
        format!(
            "the connection to the engine at `{address}` broke off when it was asked to export the image `app`"
        )
    );
    // Docker writes an error that comes late into the archive, and ends it properly.
    let fake =
        Fake::docker(|_| Reply::Body(200, r#"{"errorDetail":{"message":"unexpected EOF"}}"#.to_owned()));
    let error = fake.connect().save("app", &file).unwrap_err();
    assert!(matches!(error, EngineError::Fs(_) | EngineError::Image(_)), "{error}");
    assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_answer_that_is_not_understood_says_to_what() {
    let fake = Fake::docker(|_| Reply::Body(200, "<html>".to_owned()));
    let error = fake.connect().id("app").unwrap_err().to_string();
    assert_eq!(error, "the engine's answer when asked to inspect the image `app` is not understood");
}

#[test]
fn a_newer_engine_is_asked_for_this_machines_platform() {
    let (_dir, run, app) = images();
    let index = format!("sha256:{}", "1".repeat(64));
    let generic = inspect(&app).replace(&app.id().to_string(), &index);
    let (mine, has_mine) = (inspect(&run), Arc::new(AtomicBool::new(true)));
    let switch = Arc::clone(&has_mine);
    let fake = Fake::raw(move |line| {
        let has_mine = switch.load(Ordering::Relaxed);
        match line.split_once("?platform=") {
            _ if line.ends_with("/_ping") => {
                Reply::Raw("HTTP/1.1 200 OK\r\nApi-Version: 1.99\r\nContent-Length: 2\r\n\r\nOK".to_owned())
            }
            Some(_) if !has_mine => Reply::Body(404, r#"{"message":"no such image"}"#.to_owned()),
            Some((line, _)) if line.ends_with("/json") => Reply::Body(200, mine.clone()),
            None if line.ends_with("/json") => Reply::Body(200, generic.clone()),
            _ => Reply::Body(200, "[]".to_owned()),
        }
    });
    let engine = fake.connect();
    let layers = |image: Image| image.layers().iter().map(|l| l.diff_id).collect::<Vec<_>>();
    assert_eq!(layers(engine.image("app").unwrap().unwrap()), layers(run));
    assert_eq!(engine.id("app").unwrap().unwrap().to_string(), index, "the ID is that of all platforms");
    let platform = "%7B%22architecture%22%3A%22";
    let wanted = format!("GET /v1.51/images/{index}/history?platform={platform}");
    assert!(fake.asked().iter().any(|asked| asked.line.starts_with(&wanted)), "{:?}", fake.asked());
    has_mine.store(false, Ordering::Relaxed);
    assert_eq!(layers(engine.image("app").unwrap().unwrap()), layers(app));
}
