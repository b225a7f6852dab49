//! `cnb build --cache registry:NAME`: cached layers in an image of a registry.

use cnb_testkit::layout::{Image, Layer};
use cnb_testkit::registry::{Auth, Fault, Nth, Options, Registry, What};
use serde_json::{Value, json};

use crate::builds::APP;
use crate::support::{Bench, as_each_user};

/// A buildpack that trusts the metadata of its cached layers, as most do.
const TRUSTING: &str = r#"
for name in one two; do
  layer="$CNB_LAYERS_DIR/$name"
  if [ -e "$layer.toml" ]; then
    echo "$name: as before: $(cat "$layer/made" 2>&1)"
  else
    echo "$name: made"
    mkdir -p "$layer"
    echo "content of $name" > "$layer/made"
  fi
  printf '[types]\ncache = true\n[metadata]\nversion = "1"\n' > "$layer.toml"
done
"#;

/// Forgets all that builds left on this machine.
pub(crate) fn on_another_machine(bench: &Bench) {
    fs_err::remove_dir_all(bench.path("home/builds")).expect("builds");
    fs_err::remove_dir_all(bench.path("home/images")).expect("images");
}

#[test]
fn another_machine_has_what_the_first_cached() {
    as_each_user(|bench| {
        let registry = Registry::start(Options::default()).expect("a registry");
        let buildpack = bench.buildpack("test/app", APP);
        let cache = format!("registry:{}/team/cache", registry.host());
        let build = |name: &str| bench.build(name, &buildpack, &["--cache", &cache]).expect(0);
        build("app").says("dependency: made").says("there is no cache `registry:").never_says("could not");
        let digest = bench.digest("app");
        registry.assert_whole();
        assert!(registry.tags().contains_key("team/cache:latest"), "{:?}", registry.tags());
        on_another_machine(bench);
        build("app").says("dependency: as before").never_says("Warning: the cache");
        assert_eq!(bench.digest("app"), digest, "the cache changes no image");

        // Here the layers are now, so the manifest is all that is asked for.
        registry.journal().forget();
        build("app").says("dependency: as before");
        let lines: Vec<String> =
            registry.journal().seen().iter().map(cnb_testkit::http::Seen::line).collect();
        assert!(!lines.iter().any(|line| line.starts_with("POST") || line.starts_with("PATCH")), "{lines:?}");
        let blobs = lines.iter().filter(|line| line.starts_with("GET ") && line.contains("/blobs/")).count();
        assert!(blobs <= 1, "more than the config: {lines:?}");
        registry.assert_whole();
        bench.assert_nothing_is_left();
    });
}

#[test]
fn a_branch_reads_the_cache_of_main_and_writes_its_own() {
    as_each_user(|bench| {
        let registry = Registry::start(Options::default()).expect("a registry");
        let buildpack = bench.buildpack("test/app", APP);
        let [main, branch] =
            ["main", "branch"].map(|tag| format!("registry:{}/cache:{tag}", registry.host()));
        bench.build("app", &buildpack, &["--cache", &main]).expect(0).says("dependency: made");
        let before = registry.tags();
        on_another_machine(bench);
        let both = ["--cache", &branch, "--cache", &main];
        bench.build("app", &buildpack, &both).expect(0).says("dependency: as before");
        assert_eq!(registry.tags()["cache:main"], before["cache:main"], "it is only read");
        on_another_machine(bench);
        bench.build("app", &buildpack, &["--cache", &branch]).expect(0).says("dependency: as before");
        let folder = format!("dir:{}", bench.path("folder").display());
        on_another_machine(bench);
        bench
            .build("app", &buildpack, &["--cache", &folder, "--cache", &main])
            .expect(0)
            .says("dependency: as before");
        bench.build("app", &buildpack, &["--cache", &folder]).expect(0).says("dependency: as before");
        bench
            .build("app", &buildpack, &["--cache", &main, "--clear-cache"])
            .expect(0)
            .says("dependency: made");
        bench.assert_nothing_is_left();
    });
}

#[test]
fn a_cache_that_cannot_be_had_is_a_warning_and_no_failure() {
    as_each_user(|bench| {
        let auth = Auth::Basic { user: "me".to_owned(), password: "word".to_owned() };
        let registry = Registry::start(Options { auth, ..Options::default() }).expect("a registry");
        let buildpack = bench.buildpack("test/app", APP);
        let cache = format!("registry:{}/cache", registry.host());
        let done = bench.build("app", &buildpack, &["--cache", &cache]).expect(0);
        done.says("Warning: the cache `registry:").says("is not read").says("could not be written");
        bench.build("app", &buildpack, &["--cache", &cache]).expect(0).says("dependency: as before");
        let open = Registry::start(Options::default()).expect("a registry");
        open.inject(Fault::new("PUT /v2/*/manifests/*", Nth::All, What::status(403)));
        let cache = format!("registry:{}/cache", open.host());
        bench.build("two", &buildpack, &["--cache", &cache]).expect(0).says("could not be written");
        assert!(open.tags().is_empty());
        bench.assert_nothing_is_left();
    });
}

#[test]
fn a_cache_whose_layers_cannot_be_had_is_a_warning_and_no_failure() {
    as_each_user(|bench| {
        let registry = Registry::start(Options::default()).expect("a registry");
        let buildpack = bench.buildpack("test/app", APP);
        let cache = format!("registry:{}/cache", registry.host());
        bench.build("app", &buildpack, &["--cache", &cache]).expect(0).says("dependency: made");
        let digest = bench.digest("app");
        for what in [What::status(404), What::status(403), What::WrongBytes] {
            on_another_machine(bench);
            for layer in cached_layers(&registry, "cache") {
                registry.inject(Fault::new(&format!("GET /v2/cache/blobs/{layer}"), Nth::All, what.clone()));
            }
            let done = bench.build("app", &buildpack, &["--cache", &cache]).expect(0);
            done.says("is not used: ").says("dependency: made");
            assert!(registry.struck() > 0, "{what:?}");
            assert_eq!(bench.digest("app"), digest, "{what:?}");
            registry.heal();
        }
        bench.assert_nothing_is_left();
    });
}

#[test]
fn a_cache_that_gave_only_some_layers_leaves_nothing_behind() {
    as_each_user(|bench| {
        let registry = Registry::start(Options::default()).expect("a registry");
        let buildpack = bench.buildpack("test/trusting", TRUSTING);
        let cache = format!("registry:{}/cache", registry.host());
        let build = || bench.build("app", &buildpack, &["--cache", &cache]).expect(0);
        build().says("one: made").says("two: made");
        let layers = cached_layers(&registry, "cache");
        assert_eq!(layers.len(), 2);
        for layer in layers {
            on_another_machine(bench);
            registry.inject(Fault::new(&format!("GET /v2/cache/blobs/{layer}"), Nth::All, What::status(404)));
            build().says("is not used: ").says("one: made").says("two: made");
            registry.heal();
        }
        on_another_machine(bench);
        build().says("one: as before: content of one").says("two: as before: content of two");
        bench.assert_nothing_is_left();
    });
}

#[test]
fn where_a_cache_cannot_be_read_the_next_one_is() {
    as_each_user(|bench| {
        let registry = Registry::start(Options::default()).expect("a registry");
        let buildpack = bench.buildpack("test/trusting", TRUSTING);
        let [branch, main] = ["branch", "main"].map(|name| format!("registry:{}/{name}", registry.host()));
        let folder = format!("dir:{}", bench.path("folder").display());
        let build = |caches: &[&str]| {
            let flags: Vec<&str> = caches.iter().flat_map(|cache| ["--cache", cache]).collect();
            bench.build("app", &buildpack, &flags).expect(0)
        };
        for cache in [&branch, &main, &folder] {
            build(&[cache]).says("one: made");
            on_another_machine(bench);
        }
        let layers = cached_layers(&registry, "branch");
        let manifest = Fault::new("GET /v2/branch/manifests/*", Nth::All, What::status(403));
        let of = |layer: &String, what| Fault::new(&format!("GET /v2/branch/blobs/{layer}"), Nth::All, what);
        let faults = [
            (manifest, "is not read"),
            (of(&layers[0], What::status(404)), "is not used"),
            (of(&layers[1], What::WrongBytes), "is not used"),
        ];
        for (fault, says) in faults {
            for next in [&main, &folder] {
                registry.inject(fault.clone());
                let done = build(&[&branch, next]);
                let done = done.says(&format!("Warning: the cache `{branch}` {says}"));
                done.says("one: as before: content of one").says("two: as before: content of two");
                registry.heal();
                on_another_machine(bench);
            }
        }
        // What could not be read was written anew.
        build(&[&branch]).says("one: as before: content of one").never_says("Warning: the cache");
        bench.assert_nothing_is_left();
    });
}

#[test]
fn a_cache_that_lost_a_layer_is_made_whole_again() {
    as_each_user(|bench| {
        let registry = Registry::start(Options::default()).expect("a registry");
        let buildpack = bench.buildpack("test/app", APP);
        let cache = format!("registry:{}/cache", registry.host());
        let build = |more: &[&str]| {
            let flags = [&["--cache", cache.as_str()], more].concat();
            bench.build("app", &buildpack, &flags).expect(0)
        };
        build(&[]).says("dependency: made");
        // To the client, the layers are gone until they are uploaded again.
        let lose = || {
            for layer in cached_layers(&registry, "cache") {
                let on = format!("* /v2/cache/blobs/{layer}");
                registry.inject(Fault::new(&on, Nth::All, What::status(404)));
            }
            registry.journal().forget();
        };
        let uploads = || registry.journal().lines_of("POST").len();

        on_another_machine(bench);
        lose();
        build(&[]).says("is not used: ").says("dependency: made").never_says("could not be written");
        assert!(uploads() > 0, "{:?}", registry.journal().lines());
        registry.heal();
        on_another_machine(bench);
        build(&[]).says("dependency: as before").never_says("is not used");

        // Here the layers are, so only clearing the cache says that those of the registry are not to be trusted.
        lose();
        build(&["--clear-cache"]).says("dependency: made").never_says("could not be written");
        assert!(uploads() > 0, "{:?}", registry.journal().lines());
        registry.heal();
        registry.assert_whole();
        bench.assert_nothing_is_left();
    });
}

#[test]
fn a_fresh_machine_that_changes_nothing_uploads_no_blob() {
    as_each_user(|bench| {
        let registry = Registry::start(Options::default()).expect("a registry");
        let buildpack = bench.buildpack("test/app", APP);
        let [main, branch] =
            ["main", "branch"].map(|tag| format!("registry:{}/cache:{tag}", registry.host()));
        bench.build("app", &buildpack, &["--cache", &main]).expect(0).says("dependency: made");
        for caches in [vec!["--cache", &branch, "--cache", &main], vec!["--cache", &branch]] {
            on_another_machine(bench);
            registry.journal().forget();
            bench.build("app", &buildpack, &caches).expect(0).says("dependency: as before");
            let lines: Vec<String> =
                registry.journal().seen().iter().map(cnb_testkit::http::Seen::line).collect();
            assert!(!lines.iter().any(|l| l.starts_with("POST") || l.starts_with("PATCH")), "{lines:?}");
        }
        assert_eq!(registry.tags()["cache:main"], registry.tags()["cache:branch"]);
    });
}

#[test]
fn a_cache_image_cannot_write_elsewhere_than_into_layers() {
    as_each_user(|bench| {
        let registry = Registry::start(Options::default()).expect("a registry");
        let buildpack = bench.buildpack("test/trusting", TRUSTING);
        let mut image = Image::new(vec![Layer::Files(vec![("tmp/evil".to_owned(), "x".to_owned())])]);
        registry.put_image("cache", "latest", &image).expect("an image");
        let manifest = document(&registry.manifest("cache", "latest").expect("a manifest"));
        let digest = manifest["config"]["digest"].as_str().expect("a digest");
        let config = document(&registry.blob(digest).expect("a config"));
        let layer = json!({"sha": config["rootfs"]["diff_ids"][0], "cache": true});
        let label = json!({"buildpacks": [{"key": "test/trusting", "layers": {"one": layer}}]});
        image.config = json!({"Labels": {"io.buildpacks.lifecycle.cache.metadata": label.to_string()}});
        registry.put_image("cache", "latest", &image).expect("an image");
        let cache = format!("registry:{}/cache", registry.host());
        bench
            .build("app", &buildpack, &["--cache", &cache])
            .expect(0)
            .says("'/tmp/evil' lies outside the layers directory")
            .says("one: made");
        bench.assert_nothing_is_left();
    });
}

/// The digests of the layers of a cache image's latest version.
fn cached_layers(registry: &Registry, name: &str) -> Vec<String> {
    let manifest = registry.manifest(name, "latest").expect("a manifest");
    let manifest = document(&manifest);
    let layers = manifest["layers"].as_array().expect("layers").iter();
    layers.map(|layer| layer["digest"].as_str().expect("a digest").to_owned()).collect()
}

fn document(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}
