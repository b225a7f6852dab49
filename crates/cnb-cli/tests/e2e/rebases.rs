//! `cnb rebase`, and builds whose run image or previous image is elsewhere.

use cnb_testkit::engine::{Dockerd, Podman};
use cnb_testkit::registry::{Fault, Nth, Options, Registry, What};

use crate::support::{Bench, Running, User};

/// Shows what the run image has.
const APP: &str = r#"
cat > "$CNB_LAYERS_DIR/launch.toml" <<'END'
[[processes]]
type = "show"
command = ["bash", "-c", "cat /layers/test_base/stamp/stamp; cat /workspace/page"]
default = true
END
"#;

/// A bench with a registry, in which `base` is a run image, and `app` an image that was built on it.
struct Stand {
    bench: Bench,
    registry: Registry,
    host: String,
}

impl Stand {
    fn new() -> Self {
        let bench = Bench::new(User::Caller);
        let registry = Registry::start(Options::default()).expect("a registry");
        let host = registry.host();
        let stand = Self { bench, registry, host };
        stand.publish_base("one");
        stand.bench.file("app/page", "the page\n");
        let app = stand.bench.buildpack("test/app", APP);
        let app = app.to_str().expect("UTF-8");
        let base = format!("registry:{}/base:v1", stand.host);
        stand.cnb(&["build", "app", "--image", "app", "--run-image", &base, "--buildpack", app]);
        stand
    }

    /// Publishes a run image: what the host has, and a layer with `stamp`.
    fn publish_base(&self, stamp: &str) {
        let build = format!(
            "mkdir -p $CNB_LAYERS_DIR/stamp; echo base {stamp} > $CNB_LAYERS_DIR/stamp/stamp\n\
             printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/stamp.toml\n"
        );
        let buildpack = self.bench.buildpack("test/base", &build);
        let buildpack = buildpack.to_str().expect("UTF-8");
        self.cnb(&["build", "app", "--image", "base", "--buildpack", buildpack]);
        self.cnb(&["copy", "base", &format!("registry:{}/base:v1", self.host)]);
    }

    #[track_caller]
    fn cnb(&self, args: &[&str]) -> String {
        self.bench.cnb(args.iter().copied()).expect(0).stdout.trim_end().to_owned()
    }

    fn at(&self, name: &str) -> String {
        format!("registry:{}/{name}", self.host)
    }

    fn id(&self, place: &str) -> serde_json::Value {
        self.bench.cnb(["inspect", place, "--json"]).expect(0).json()["image_id"].clone()
    }
}

#[test]
fn an_image_is_rebased_within_its_registry_and_podman_runs_it() {
    let stand = Stand::new();
    let app = stand.at("app");
    let old = stand.cnb(&["copy", "app", &app]);
    stand.publish_base("two");
    stand.registry.journal().forget();
    let new =
        stand.cnb(&["rebase", &app, "--tag", &format!("{}/app:next", stand.host), "--report", "report.toml"]);
    assert_ne!(new, old);
    assert_eq!((&stand.registry.tags()["app:latest"], &stand.registry.tags()["app:next"]), (&new, &new));
    let uploads = stand.registry.journal().seen();
    let uploads: Vec<_> =
        uploads.iter().filter(|s| s.received > 0 && s.request.path().contains("blobs")).collect();
    assert_eq!(uploads.len(), 1, "the config alone is sent: {:#?}", stand.registry.journal().lines());
    let report = fs_err::read_to_string(stand.bench.path("report.toml")).expect("a report");
    assert!(report.contains(&new), "{report}");
    stand.registry.assert_whole();
    if Podman::is_available() {
        stand.cnb(&["copy", &app, "docker-archive:app.tar:app"]);
        let podman = Podman::start().expect("podman");
        let name = podman.load(&stand.bench.path("app.tar"));
        assert_eq!(podman.podman(&["run", "--rm", "--network", "host", &name]), "base two\nthe page\n");
    }
    stand.bench.assert_nothing_is_left();
}

#[test]
fn images_in_the_store_in_layouts_and_in_archives_are_rebased_in_their_place() {
    let stand = Stand::new();
    let places = ["store:app", "oci:layout:v1", "oci-archive:a.tar:app", "docker-archive:d.tar:app"];
    for place in &places[1..] {
        stand.cnb(&["copy", "app", place]);
    }
    stand.publish_base("two");
    let base = stand.at("base:v1");
    for place in places {
        let before = stand.id(place);
        stand.cnb(&["rebase", place, "--run-image", &base]);
        assert_ne!(stand.id(place), before, "{place}");
    }
    // Also where the text names only the folder or the file.
    stand.publish_base("three");
    for place in ["oci:layout", "oci-archive:a.tar", "docker-archive:d.tar"] {
        let before = stand.id(place);
        stand.cnb(&["rebase", place]);
        assert_ne!(stand.id(place), before, "{place}");
    }
    stand.bench.cnb(["run", "app"]).expect(0);
}

#[test]
fn a_rebase_that_fails_leaves_the_image_as_it_was() {
    let stand = Stand::new();
    let app = stand.at("app");
    let old = stand.cnb(&["copy", "app", &app]);
    stand.publish_base("two");
    stand.registry.inject(Fault::new("PUT /v2/app/manifests/next", Nth::All, What::status(403)));
    stand.bench.cnb(["rebase", &app, "--tag", &stand.at("app:next")]).expect(1);
    stand.registry.heal();
    assert_eq!(stand.registry.tags()["app:latest"], old);
    stand.cnb(&["copy", &stand.at("base:v1"), &stand.at("other:v1")]);
    let refused = stand.bench.cnb(["rebase", &app, "--run-image", &stand.at("other:v1")]).expect(1);
    refused.says("not found in existing run image metadata").says("hint: `--force` rebases all the same");
    assert_eq!(stand.registry.tags()["app:latest"], old);
    let forced = stand.bench.cnb(["rebase", &app, "--run-image", &stand.at("other:v1"), "--force"]).expect(0);
    forced.says("Warning: ");
    stand.registry.assert_whole();
}

#[test]
fn an_image_on_the_hosts_libraries_is_built_again_instead() {
    let bench = Bench::new(User::Caller);
    bench.file("app/page", "the page\n");
    let app = bench.buildpack("test/app", APP);
    bench.cnb(["build", "app", "--image", "app", "--buildpack", app.to_str().expect("UTF-8")]).expect(0);
    bench.cnb(["rebase", "app"]).expect(1).says("made from the build host").says("hint: build it again");
}

#[test]
fn a_build_reuses_the_layers_of_a_previous_image_that_is_elsewhere() {
    let stand = Stand::new();
    let base = stand.at("base:v1");
    let buildpack = stand.bench.buildpack("test/once", crate::builds::APP);
    let buildpack = buildpack.to_str().expect("UTF-8").to_owned();
    let build = |home: &str, more: &[&str]| {
        let mut command = stand.bench.command();
        command.env("CNB_HOME", stand.bench.path(home));
        command.args([
            "build",
            "app",
            "--image",
            "once",
            "--run-image",
            &base,
            "--buildpack",
            &buildpack,
            "--json",
        ]);
        command.args(more);
        Running::start(command).finish().expect(0)
    };
    let first = build("home", &[]);
    first.json();
    for place in [stand.at("once"), "oci-archive:once.tar:once".to_owned()] {
        stand.cnb(&["copy", "once", &place]);
        let home = if place.starts_with("oci") { "other-home" } else { "another-home" };
        let again = build(home, &["--previous-image", &place]);
        assert_eq!(again.json()["digest"], first.json()["digest"], "{place}");
        again.says("words: as before");
    }
}

#[test]
fn an_image_of_docker_is_built_on_rebased_and_run_by_docker() {
    if !Dockerd::is_available() {
        return;
    }
    let stand = Stand::new();
    let docker = Dockerd::start().expect("dockerd");
    let cnb = |args: &[&str]| {
        let mut command = stand.bench.command();
        command.env("DOCKER_HOST", format!("unix://{}", docker.socket().display())).args(args);
        Running::start(command).finish().expect(0)
    };
    let base = format!("{}/base:v1", stand.host);
    let run = || docker.docker(&["run", "--rm", "--network", "host", "test/app"]);
    cnb(&["copy", &format!("registry:{base}"), &format!("docker:{base}")]);
    let app = stand.bench.path("buildpacks/test_app/1.0.0");
    let app = app.to_str().expect("UTF-8");
    cnb(&[
        "build",
        "app",
        "--image",
        "fromdocker",
        "--run-image",
        &format!("docker:{base}"),
        "--buildpack",
        app,
    ]);
    cnb(&["copy", "fromdocker", "docker:test/app"]);
    assert_eq!(run(), "base one\nthe page\n");
    stand.publish_base("two");
    cnb(&["copy", &format!("registry:{base}"), &format!("docker:{base}")]);
    // The run image that the label names is the engine's own.
    cnb(&["rebase", "docker:test/app"]);
    assert_eq!(run(), "base two\nthe page\n");
}
