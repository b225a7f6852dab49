//! What a build makes, what it takes over from the one before, and what it leaves alone.

use std::process::Command;

use cnb_testkit::ScriptBuildpack;

use crate::support::{Bench, Running, User, as_each_user, is_root, tree};

/// A buildpack with a cached layer and another that it makes once, an SBOM and two processes.
pub(crate) const APP: &str = r#"
layer="$CNB_LAYERS_DIR/dependency"
if [ -e "$layer/made" ]; then
  echo "dependency: as before"
else
  echo "dependency: made"
  mkdir -p "$layer"
  echo content > "$layer/made"
fi
printf '[types]\nlaunch = true\nbuild = true\ncache = true\n' > "$layer.toml"
echo '{"bomFormat": "CycloneDX", "specVersion": "1.4"}' > "$CNB_LAYERS_DIR/launch.sbom.cdx.json"
words="$CNB_LAYERS_DIR/words"
if [ -e "$words.toml" ]; then
  echo "words: as before"
else
  echo "words: made"
  mkdir -p "$words"
  seq 1 2000 > "$words/list"
fi
printf '[types]\nlaunch = true\n[metadata]\nversion = "7"\n' > "$words.toml"
cat > "$CNB_LAYERS_DIR/launch.toml" <<'END'
[[processes]]
type = "web"
command = ["bash", "-c", "cat /workspace/page; echo port ${PORT:-none}"]
default = true

[[processes]]
type = "task"
command = ["bash"]
args = ["-c", "echo task"]
END
"#;

/// Returns the layers that a `--json` report calls reused, and those that it does not.
fn layers(report: &serde_json::Value) -> (Vec<String>, Vec<String>) {
    let all = report["layers"].as_array().expect("layers").iter();
    let (old, new): (Vec<_>, Vec<_>) = all.partition(|l| l["reused"] == true);
    let name = |l: &serde_json::Value| l["name"].as_str().expect("a name").to_owned();
    (old.into_iter().map(name).collect(), new.into_iter().map(name).collect())
}

#[test]
fn the_same_source_gives_the_same_image_wherever_and_by_whomever_it_is_built() {
    let users = if is_root() { [User::Caller, User::Ordinary] } else { [User::Caller, User::Caller] };
    let digests = users.map(|user| {
        let bench = Bench::new(user);
        let folder = if user == User::Caller { "app" } else { "elsewhere/deep/down" };
        bench.folder(folder);
        for file in ["z", "page", "a"] {
            bench.file(&format!("{folder}/{file}"), "hello\n");
        }
        let buildpack = bench.buildpack("test/app", APP);
        let buildpack = buildpack.to_str().expect("a path in UTF-8");
        let done =
            bench.cnb(["build", folder, "--image", "app", "--buildpack", buildpack, "--quiet"]).expect(0);
        assert_eq!(done.stderr, "");
        assert_eq!(done.stdout.trim_end(), bench.digest("app"));
        bench.assert_nothing_is_left();
        done.stdout
    });
    assert!(digests[0].starts_with("sha256:") && digests[0].len() == 72, "{digests:?}");
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn a_second_build_takes_over_every_layer_and_a_change_of_source_costs_only_its_own() {
    as_each_user(|bench| {
        bench.file("app/page", "one\n");
        let buildpack = bench.buildpack("test/app", APP);
        let first = bench.build("app", &buildpack, &["--json"]).expect(0).says("dependency: made").json();
        assert!(layers(&first).1.contains(&"test/app:dependency".to_owned()), "{first}");

        let second =
            bench.build("app", &buildpack, &["--json"]).expect(0).says("dependency: as before").json();
        assert_eq!((&second["digest"], layers(&second).1), (&first["digest"], vec![]));

        bench.file("app/page", "two\n");
        let third =
            bench.build("app", &buildpack, &["--json"]).expect(0).says("dependency: as before").json();
        assert_eq!(layers(&third).1, ["application"]);
        assert_ne!(third["digest"], first["digest"]);

        bench.file("app/page", "one\n");
        let fourth = bench.build("app", &buildpack, &["--json"]).expect(0).json();
        assert_eq!(fourth["digest"], first["digest"]);
    });
}

#[test]
fn a_cleared_cache_is_made_again_and_gives_the_same_image() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/app", APP);
        let before = bench.build("app", &buildpack, &["--quiet"]).expect(0).stdout;
        let done = bench.build("app", &buildpack, &["--clear-cache"]).expect(0).says("dependency: made");
        assert!(done.stderr.contains("Built app"), "{}", done.stderr);
        assert_eq!(bench.digest("app"), before.trim_end());
        bench.build("app", &buildpack, &[]).expect(0).says("dependency: as before");
    });
}

#[test]
fn the_first_cache_is_written_and_all_are_read() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/app", APP);
        let cache = |name: &str| format!("dir:{}", bench.path(name).display());
        let (a, b) = (cache("a"), cache("b"));
        let build = |name: &str, caches: &[&str]| {
            let mut args = Vec::new();
            for cache in caches {
                args.extend(["--cache", cache]);
            }
            bench.build(name, &buildpack, &args).expect(0)
        };
        build("one", &[&a]).says("dependency: made");
        let before = tree(&bench.path("a"));
        build("two", &[&b, &a]).says("dependency: as before");
        assert_eq!(tree(&bench.path("a")), before, "a cache that is only read has changed");
        build("three", &[&b]).says("dependency: as before");
        build("four", &["type=build;format=bind;source=a"]).says("dependency: as before");
        build("five", &[]).says("dependency: made");
    });
}

#[test]
fn a_cache_may_lie_on_another_file_system() {
    as_each_user(|bench| {
        let elsewhere =
            tempfile::Builder::new().prefix("cnb-e2e-").tempdir_in("/dev/shm").expect("a folder in memory");
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs_err::set_permissions(elsewhere.path(), permissions).expect("another mode");
        let cache = format!("dir:{}/cache", elsewhere.path().display());
        let buildpack = bench.buildpack("test/app", APP);
        let build =
            || bench.build("app", &buildpack, &["--cache", &cache]).expect(0).never_says("could not be kept");
        build().says("dependency: made");
        build().says("dependency: as before");
    });
}

#[test]
fn layers_come_from_the_previous_image_under_another_name_and_tags_are_more_names() {
    as_each_user(|bench| {
        let script = "mkdir -p $CNB_LAYERS_DIR/big; head -c 100000 /dev/zero > $CNB_LAYERS_DIR/big/zeros
            if [ -e $CNB_LAYERS_DIR/big.toml ]; then echo metadata: as before; rmdir $CNB_LAYERS_DIR/big 2>/dev/null || true; fi
            printf '[types]\\nlaunch = true\\n[metadata]\\nversion = \"7\"\\n' > $CNB_LAYERS_DIR/big.toml";
        let buildpack = bench.buildpack("test/big", script);
        bench.build("old", &buildpack, &["--tag", "other:v1", "--tag", "localhost:5000/third"]).expect(0);
        let digest = bench.digest("old");
        for name in
            ["other:v1", "localhost:5000/third", "docker.io/library/old:latest", &format!("old@{digest}")]
        {
            assert_eq!(bench.digest(name), digest, "{name}");
        }
        let report = bench.build("new", &buildpack, &["--previous-image", "old", "--json"]).expect(0);
        assert!(report.stderr.contains("metadata: as before"), "{}", report.stderr);
        assert_eq!(report.json()["digest"], digest);
        bench.build("fresh", &buildpack, &["--previous-image", "never-made"]).expect(0).says("never-made");
    });
}

#[test]
fn the_source_folder_is_never_written() {
    as_each_user(|bench| {
        bench.file("app/read", "me\n");
        bench.file("app/folder/file", "text\n");
        fs_err::os::unix::fs::symlink("../elsewhere", bench.path("app/link")).expect("a link");
        let before = tree(&bench.path("app"));
        let script = "cd /workspace; echo more >> read; rm -r folder; mkdir new; touch new/file; chmod 700 .; ln -sf /etc/passwd link; touch -d 2001-01-01 read";
        let buildpack = bench.buildpack("test/writer", script);
        bench.build("app", &buildpack, &[]).expect(0);
        assert_eq!(tree(&bench.path("app")), before);
        let listing = bench.layer_listing("app", "application");
        assert!(listing.contains("workspace/new/file") && !listing.contains("folder"), "{listing}");
    });
}

#[test]
fn ignored_files_do_not_enter_the_build() {
    let rows: [(&[(&str, &str)], &str); 7] = [
        (&[], "a.log b.txt sub/a.log sub/c.txt"),
        (&[(".cnbignore", "*.log\n")], ".cnbignore b.txt sub/c.txt"),
        (&[(".dockerignore", "*.log\n")], ".dockerignore b.txt sub/a.log sub/c.txt"),
        (
            &[(".cnbignore", "*.txt\n"), (".dockerignore", "*.log\n")],
            ".cnbignore .dockerignore a.log sub/a.log",
        ),
        (
            &[
                ("project.toml", "[_]\nschema-version = \"0.2\"\n[io.buildpacks]\nexclude = [\"sub\"]\n"),
                (".cnbignore", "*\n"),
            ],
            ".cnbignore a.log b.txt project.toml",
        ),
        (
            &[(
                "project.toml",
                "[_]\nschema-version = \"0.2\"\n[io.buildpacks]\ninclude = [\"sub/\", \"!sub/a.log\"]\n",
            )],
            "sub/c.txt",
        ),
        (
            &[("project.toml", "[project]\nid = \"x\"\n[build]\nexclude = [\"/a.log\"]\n")],
            "b.txt project.toml sub/a.log sub/c.txt",
        ),
    ];
    let bench = Bench::new(User::Caller);
    let buildpack =
        bench.buildpack("test/list", "echo files: $(find . -type f | sed 's,^./,,' | LC_ALL=C sort)");
    for (rules, expected) in rows {
        fs_err::remove_dir_all(bench.path("app")).expect("an old folder");
        for file in ["a.log", "b.txt", "sub/a.log", "sub/c.txt"] {
            bench.file(&format!("app/{file}"), "");
        }
        for (name, text) in rules {
            bench.file(&format!("app/{name}"), text);
        }
        let done = bench.build("app", &buildpack, &[]).expect(0);
        let found = done.stderr.lines().find_map(|l| l.strip_prefix("files: "));
        assert_eq!(found, Some(expected), "with {rules:?}");
    }
    bench.assert_nothing_is_left();
}

#[test]
fn what_looks_like_a_secret_is_warned_of_once() {
    let bench = Bench::new(User::Caller);
    bench.file("app/.env", "PASSWORD=x\n");
    bench.file("app/deploy_key", "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n");
    let buildpack = bench.buildpack("test/app", APP);
    let done = bench.build("app", &buildpack, &[]).expect(0);
    assert_eq!(done.stderr.matches("look private").count(), 1, "{}", done.stderr);
    assert!(done.says("`.env`").stderr.contains(".cnbignore"));
    bench.file("app/.cnbignore", ".env\ndeploy_key\n");
    bench.build("app", &buildpack, &[]).expect(0).never_says("look private");
}

#[test]
fn two_builds_of_one_image_wait_for_each_other_and_both_succeed() {
    as_each_user(|bench| {
        let meeting = bench.folder("meeting");
        let script = format!("echo at work; until [ -e /meeting/go ]; do sleep 0.01; done\n{APP}");
        let buildpack = bench.buildpack("test/slow", &script);
        let volume = format!("{}:/meeting", meeting.display());
        let start = || Running::start(bench.build_command("app", &buildpack, &["--volume", &volume]));
        let mut first = start();
        first.wait_for("at work");
        let mut second = start();
        second.wait_for("waiting for another build of `app`");
        bench.file("meeting/go", "");
        first.finish().expect(0).says("dependency: made");
        second.finish().expect(0).says("dependency: as before");
        bench.assert_store_is_whole();
    });
}

#[test]
fn a_failing_build_leaves_the_old_image_and_the_cache_as_they_were() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/app", APP);
        bench.build("app", &buildpack, &[]).expect(0);
        let before = bench.digest("app");
        bench.buildpack("test/app", "rm -r $CNB_LAYERS_DIR/dependency; echo the reason; exit 7");
        bench.build("app", &buildpack, &[]).expect(51).says("the reason").says("test/app");
        bench.build("app", &buildpack, &["--quiet"]).expect(51).says("the reason");
        assert_eq!(bench.digest("app"), before);
        bench.buildpack("test/app", APP);
        bench.build("app", &buildpack, &[]).expect(0).says("dependency: as before");
        assert_eq!(bench.digest("app"), before);
    });
}

#[test]
fn a_buildpack_that_breaks_while_detecting_is_named() {
    let bench = Bench::new(User::Caller);
    let detect = "echo lost the plot; exit 3".to_owned();
    let buildpack = bench.write_buildpack(&ScriptBuildpack { detect, ..ScriptBuildpack::new("test/broken") });
    bench.build("app", &buildpack, &[]).expect(21).says("test/broken").says("lost the plot");
    bench.assert_nothing_is_left();
}

#[test]
fn where_nothing_matches_every_bundled_buildpack_says_what_it_wanted() {
    let bench = Bench::new(User::Caller);
    bench.file("app/data.bin", "nothing to build\n");
    let done = bench.cnb(["build", "app", "--image", "app", "--run-image", &bench.empty_base()]).expect(20);
    let wants = [
        ("cnb/nodejs", "package.json"),
        ("cnb/go", "go.mod"),
        ("cnb/python", "requirements.txt"),
        ("cnb/rust", "Cargo.toml"),
        ("cnb/java", "pom.xml"),
        ("cnb/shell", "start.sh"),
        ("cnb/static", "index.html"),
        ("cnb/procfile", "Procfile"),
    ];
    for (id, wanted) in wants {
        assert!(done.stderr.contains(id) && done.stderr.contains(wanted), "{id}, {wanted}:\n{}", done.stderr);
    }
    bench.assert_nothing_is_left();
}

#[test]
fn a_damaged_blob_is_noticed_and_the_next_build_repairs_it() {
    as_each_user(|bench| {
        bench.file("app/page", "hello\n");
        let buildpack = bench.buildpack("test/app", APP);
        bench.build("app", &buildpack, &[]).expect(0);
        let before = bench.digest("app");
        let image = bench.cnb(["inspect", "app", "--json"]).expect(0).json();
        let mut blobs = vec![image["digest"].clone(), image["image_id"].clone()];
        blobs.extend(image["layers"].as_array().expect("layers").iter().map(|l| l["digest"].clone()));
        for blob in blobs {
            let blob = blob.as_str().expect("a digest").replace(':', "/");
            let blob = bench.path("home/images/blobs").join(blob);
            let mut bytes = fs_err::read(&blob).expect("a blob");
            for byte in &mut bytes {
                *byte ^= 0x55;
            }
            fs_err::write(&blob, bytes).expect("a damaged blob");
            // Noticed when it is read, and made again by whoever builds next.
            let found = bench.build("app", &buildpack, &["--output", "oci-archive:out.tar"]);
            assert!(found.stderr.contains("damaged"), "{}", found.stderr);
            if found.code != 0 {
                found.expect(62).says("build again");
                bench.build("app", &buildpack, &["--output", "oci-archive:out.tar"]).expect(0);
                bench.build("app", &buildpack, &[]).expect(0).never_says("damaged");
            }
            assert_eq!(bench.digest("app"), before);
            bench.assert_store_is_whole();
        }
    });
}

#[test]
fn collecting_garbage_frees_what_nobody_needs_and_keeps_the_rest() {
    as_each_user(|bench| {
        bench.file("app/page", "kept\n");
        let buildpack = bench.buildpack("test/app", APP);
        bench.build("kept", &buildpack, &[]).expect(0);
        bench.file("app/page", "thrown away\n");
        bench.build("gone", &buildpack, &[]).expect(0);
        let blobs = || fs_err::read_dir(bench.path("home/images/blobs/sha256")).expect("blobs").count();
        let many = blobs();
        bench.cnb(["rm", "gone"]).expect(0);
        let freed = bench.cnb(["gc", "--json"]).expect(0).json();
        assert!(blobs() < many && freed["bytes"].as_u64() > Some(0), "{freed}");
        assert!(!bench.path("home/builds/docker.io%2flibrary%2fgone").exists());
        bench.assert_store_is_whole();
        bench.cnb(["inspect", "gone"]).expect(1);
        bench.build("kept", &buildpack, &[]).expect(0).says("dependency: as before");
        assert_eq!(
            bench.cnb(["gc", "--json"]).expect(0).json()["bytes"].as_u64().map(|b| b < 1 << 20),
            Some(true)
        );
    });
}

#[test]
fn buildpacks_are_folders_archives_packages_and_bundled_ones() {
    let bench = Bench::new(User::Caller);
    bench.file("app/Procfile", "web: true\n");
    let folder = bench.buildpack("test/app", "echo it ran");
    let tar = |name: &str, args: &[&str]| {
        let status = Command::new("tar").arg("-cf").arg(bench.path(name)).args(args).status().expect("tar");
        assert!(status.success(), "{args:?}");
        bench.path(name)
    };
    let parent = folder.parent().and_then(|p| p.to_str()).expect("a parent");
    let inside = folder.to_str().expect("a path in UTF-8");
    let plain = tar("plain.tar", &["-C", inside, "."]);
    let nested = tar("nested.tgz", &["-z", "-C", parent, "1.0.0"]);

    // A package is an image with the buildpack at its place in a builder.
    let tree = bench.path("package/cnb/buildpacks/test_app");
    fs_err::create_dir_all(&tree).expect("new folders");
    assert!(Command::new("cp").args(["-a", inside]).arg(&tree).status().expect("cp").success());
    let about = serde_json::json!({"id": "test/app", "version": "1.0.0", "stacks": [{"id": "*"}]});
    let labels = serde_json::json!({"Labels": {"io.buildpacks.buildpackage.metadata": about.to_string()}});
    cnb_testkit::scratch_layout(&bench.path("layout"), &bench.path("package"), &labels).expect("a new image");
    let package = tar("app.cnb", &["-C", bench.path("layout").to_str().expect("a path in UTF-8"), "."]);

    for buildpack in [&folder, &plain, &nested, &package] {
        bench.build("app", buildpack, &[]).expect(0).says("it ran").says("test/app");
    }
    let base = bench.empty_base();
    let bundled =
        |name: &str| bench.cnb(["build", "app", "--image", "app", "--run-image", &base, "--buildpack", name]);
    bundled("cnb/procfile").expect(0);
    let version = format!("cnb/procfile@{}", env!("CARGO_PKG_VERSION"));
    bundled(&version).expect(0);
    bundled(&format!("{version},{inside}")).expect(0).says("it ran");
    bundled("cnb/procfile@99").expect(1).says("cnb/procfile@99").says(&version);
    bundled("./missing.tgz").expect(1).says("missing.tgz");
    bench.assert_nothing_is_left();
}
