//! `cnb build --cache registry:NAME`: cached layers in an image of a registry.

use cnb_testkit::registry::{Auth, Fault, Nth, Options, Registry, What};

use crate::builds::APP;
use crate::support::{Bench, as_each_user};

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
