//! Buildpacks that are broken or mean harm: the host, the store and the next build stay as they were.

use std::process::Command;
use std::time::{Duration, Instant};

use cnb_testkit::ScriptBuildpack;

use crate::builds::APP;
use crate::support::{Bench, Running, User, as_each_user, tree};

/// Exit codes that say which phase failed; neither a panic nor a signal is among them.
const ORDERLY: [i32; 8] = [0, 1, 21, 22, 42, 51, 52, 62];

/// Checks that nothing came to harm, and that an ordinary build of the same image works.
#[track_caller]
fn assert_no_harm(bench: &Bench, what: &str) {
    bench.assert_nothing_is_left();
    let good = bench.buildpack("test/good", APP);
    let done = bench.build("app", &good, &[]);
    assert_eq!(done.code, 0, "the next build after {what}:\n{}", done.stderr);
}

/// Checks that no blob of the store has what only the host has.
#[track_caller]
fn assert_no_secret_in_store(bench: &Bench) {
    let script = "for f in \"$1\"/*; do zcat -f \"$f\"; done | grep -a -c -e SECRET-KEY -e '^root:[^x]'";
    let output = Command::new("bash")
        .args(["-c", script, "bash"])
        .arg(bench.path("home/images/blobs/sha256"))
        .output();
    assert_eq!(String::from_utf8_lossy(&output.expect("bash").stdout), "0\n");
}

#[test]
fn links_and_odd_files_in_the_places_of_metadata_are_refused_or_ignored() {
    // `$KEY` is a file of the host, `$L` the buildpack's layers directory.
    let scripts = [
        "ln -s $KEY $L/l.toml; mkdir $L/l",
        "ln -s $KEY $L/launch.toml",
        "ln -s $KEY $L/build.toml",
        "ln -s $KEY $L/store.toml",
        "ln -s $KEY $L/launch.sbom.cdx.json",
        "ln -s $KEY $L/l.sbom.cdx.json; mkdir $L/l; echo '[types]' > $L/l.toml",
        "mkfifo $L/launch.toml",
        "mkfifo $L/l.toml; mkdir $L/l",
        "mkfifo $L/store.toml",
        "mkfifo $L/launch.sbom.cdx.json",
        "mkdir $L/launch.toml",
        "mkdir $L/l.toml",
        "mkdir $L/launch.sbom.cdx.json",
        "truncate -s 10G $L/launch.toml",
        "truncate -s 10G $L/l.toml; mkdir $L/l",
        "truncate -s 10G $L/store.toml",
        "head -c 1M /dev/urandom > $L/launch.toml",
        "rm -rf $L; ln -s $(dirname $KEY) $L",
        "rm -rf $L; mkfifo $L",
        "rm -rf $L; echo file > $L",
        "rm -rf $L/..?* $L; mkdir -m 0 $L",
        "ln -s $(dirname $KEY) $L/l; printf '[types]\\nlaunch = true\\n' > $L/l.toml",
        "ln -s / $L/l; printf '[types]\\nlaunch = true\\ncache = true\\n' > $L/l.toml",
        "echo file > $L/l; printf '[types]\\nlaunch = true\\n' > $L/l.toml",
        "mkdir -p $L/l/env; ln -s $KEY $L/l/env/X; mkfifo $L/l/env/Y; printf '[types]\\nbuild = true\\n' > $L/l.toml",
        "mkdir -p $L/l; ln -s $(dirname $KEY) $L/l/env; ln -s / $L/l/bin; printf '[types]\\nbuild = true\\nlaunch = true\\n' > $L/l.toml",
        "rm -rf /layers/sbom; ln -s $(dirname $KEY) /layers/sbom; echo '{}' > $L/launch.sbom.cdx.json",
        "rm -rf /layers/config; ln -s $(dirname $KEY) /layers/config",
        "mkdir -p /layers/config; ln -s $KEY /layers/config/metadata.toml",
        "mkdir -p /layers/config; mkfifo /layers/config/metadata.toml",
        "echo file > /layers/config",
        "chmod 000 /layers",
        "rm -rf /workspace/* /tmp/* /home/cnb/.* || true; mkfifo /workspace/fifo; ln -s / /workspace/root; chmod 000 /workspace",
        "ln -s $KEY $CNB_LAYERS_DIR/dependency; mkdir -p $L/exec.d; kill -9 -1",
        "exec kill -9 1",
        "mkdir $L/$'new\\nline'; mkdir $L/$'caf\\xe9'; for l in $L/*; do printf '[types]\\nlaunch = true\\ncache = true\\n' > $l.toml; done",
        "printf '[types]\\nlaunch = true\\n' > $L/...toml; printf '[types]\\nlaunch = true\\n' > $L/.toml; mkdir -p $L/-rf; printf '[types]\\nlaunch = true\\n' > $L/-rf.toml",
        "printf '[[processes]]\\ntype = \"../../etc/x\"\\ncommand = [\"x\"]\\n' > $L/launch.toml",
        "printf '[[slices]]\\npaths = [\"../../**\", \"/etc/**\", \"**\"]\\n' > $L/launch.toml",
    ];
    as_each_user(|bench| {
        bench.file("app/page", "page\n");
        let key = format!("KEY={}", bench.path("user/.ssh/id_rsa").display());
        let outside = tree(&bench.path("user"));
        for script in scripts {
            let buildpack = bench.buildpack("test/hostile", &format!("L=$CNB_LAYERS_DIR\n{script}"));
            let done = bench.build(
                "app",
                &buildpack,
                &["--env", &key, "--timeout", "50s", "--sbom-output-dir", "sboms"],
            );
            assert!(ORDERLY.contains(&done.code), "{script}: {}\n{}", done.code, done.stderr);
            let done = done.never_says("SECRET-KEY").never_says("took longer than").never_says("panicked");
            assert!(done.memory < 200 << 20, "{script}: {} MiB", done.memory >> 20);
            if done.code != 0 {
                assert!(done.stderr.contains("error: "), "{script}:\n{}", done.stderr);
            }
            assert_no_harm(bench, script);
        }
        assert_no_secret_in_store(bench);
        bench.assert_store_is_whole();
        assert_eq!(tree(&bench.path("user")), outside);
    });
}

#[test]
fn what_detection_leaves_in_place_of_a_plan_is_not_followed() {
    as_each_user(|bench| {
        let key = format!("KEY={}", bench.path("user/.ssh/id_rsa").display());
        for script in [
            "rm -f $CNB_BUILD_PLAN_PATH; ln -s $KEY $CNB_BUILD_PLAN_PATH",
            "rm -f $CNB_BUILD_PLAN_PATH; mkfifo $CNB_BUILD_PLAN_PATH",
            "rm -f $CNB_BUILD_PLAN_PATH; mkdir $CNB_BUILD_PLAN_PATH",
            "truncate -s 10G $CNB_BUILD_PLAN_PATH",
            "d=$(dirname $CNB_BUILD_PLAN_PATH); rm -rf $d; ln -s $(dirname $KEY) $d",
        ] {
            let hostile =
                ScriptBuildpack { detect: script.to_owned(), ..ScriptBuildpack::new("test/hostile") };
            let done =
                bench.build("app", &bench.write_buildpack(&hostile), &["--env", &key, "--timeout", "50s"]);
            assert!([0, 20, 21, 22].contains(&done.code), "{script}: {}\n{}", done.code, done.stderr);
            let done = done.never_says("SECRET-KEY").never_says("took longer than").never_says("panicked");
            assert!(done.memory < 200 << 20, "{script}: {} MiB", done.memory >> 20);
            assert_no_harm(bench, script);
        }
    });
}

#[test]
fn links_hard_links_odd_names_and_modes_are_exported_as_they_are() {
    as_each_user(|bench| {
        let script = r#"L=$CNB_LAYERS_DIR/odd; mkdir -p $L; cd $L
            printf '[types]\nlaunch = true\ncache = true\n' > $L.toml
            if [ -e again ]; then echo "again: $(ls -A -b | wc -l) entries"; exit 0; fi
            ln -s /etc/shadow shadow; ln -s "$KEY" key; ln -s ../../../../../.. up
            echo text > one; ln one two
            touch -- $'new\nline' $'caf\xe9' 'quo"te' '-dash' 'sp ace' .wh.hidden; mkdir .wh.folder
            echo '#!' > setuid; chmod 6755 setuid; mkdir -m 1777 sticky
            if mknod null c 1 3 2> /dev/null || mknod whiteout c 0 0 2> /dev/null; then echo MADE A DEVICE; fi
            touch again"#;
        let buildpack = bench.buildpack("test/odd", script);
        let key = format!("KEY={}", bench.path("user/.ssh/id_rsa").display());
        let done =
            bench.build("app", &buildpack, &["--env", &key, "--json"]).expect(0).never_says("MADE A DEVICE");
        let listing = bench.layer_listing("app", "test/odd:odd");
        let lines: Vec<&str> = listing.lines().collect();
        let line = |name: &str| {
            let is = |l: &&&str| l.contains(&format!("/odd/{name}"));
            *lines.iter().find(is).unwrap_or_else(|| panic!("no {name} in\n{listing}"))
        };
        assert!(
            line("shadow").ends_with("-> /etc/shadow") && line("up").ends_with("-> ../../../../../.."),
            "{listing}"
        );
        assert!(line("key").contains("-> /") && line("key").starts_with('l'), "{listing}");
        // As the lifecycle does it, each name is a file of its own (E2).
        assert!(line("one").starts_with('-') && line("two").starts_with('-'), "{listing}");
        assert!(line("new\\nline").starts_with('-') && line("caf\\351").starts_with('-'), "{listing}");
        assert!(line("setuid").starts_with("-rwsr-sr-x"), "{listing}");
        assert!(
            lines.iter().all(|l| l.contains(" 1001/1000 ") || l.contains(" 0/0 ") || l.contains("cnb")),
            "{listing}"
        );
        let again =
            bench.build("app", &buildpack, &["--env", &key, "--json"]).expect(0).says("again: 15 entries");
        assert_eq!(again.json()["digest"], done.json()["digest"]);
        assert_no_secret_in_store(bench);
        bench.assert_store_is_whole();
        bench.build("app", &buildpack, &["--env", &key, "--clear-cache"]).expect(0).never_says("again:");
        assert_no_harm(bench, "odd files");
    });
}

#[test]
fn files_that_nobody_may_read_are_exported_or_named_and_are_no_obstacle_later() {
    as_each_user(|bench| {
        for script in [
            "echo text > closed; chmod 000 closed",
            "mkdir -p closed/inside; touch closed/inside/file; chmod 000 closed",
        ] {
            let types = "printf '[types]\\nlaunch = true\\ncache = true\\n' > $L.toml";
            let buildpack = bench.buildpack(
                "test/closed",
                &format!("L=$CNB_LAYERS_DIR/l; mkdir -p $L; cd $L; rm -rf *; {script}; {types}"),
            );
            let done = bench.build("app", &buildpack, &[]);
            if done.code == 0 {
                let listing = bench.layer_listing("app", "test/closed:l");
                assert!(
                    listing.lines().any(|l| l.contains("---------") && l.contains("/l/closed")),
                    "{listing}"
                );
            } else {
                // Without root there is nobody who could read them.
                assert!(!bench.is_roots(), "{}", done.stderr);
                done.expect(62).says("/layers/test_closed/l/closed").says("ermission denied");
            }
            assert_no_harm(bench, script);
        }
    });
}

#[test]
fn nothing_can_be_written_outside_the_folders_of_a_build() {
    as_each_user(|bench| {
        bench.folder("open");
        let script = r#"for d in / /etc /usr /usr/bin /bin /lib /opt /cnb /cnb/buildpacks "$CNB_BUILDPACK_DIR" "$CNB_BUILDPACK_DIR/bin" "$CNB_PLATFORM_DIR" /proc /proc/sys/kernel /sys /dev/pts /root /var /run /srv "$OPEN" "$(dirname "$OPEN")"; do
              if (echo x > "$d/it") 2> /dev/null; then echo "WROTE in $d"; fi
            done
            (echo 1 > /proc/sys/vm/drop_caches) 2> /dev/null && echo WROTE a setting
            (mount -t tmpfs none /usr || umount /usr || chroot / true || mkdir /cgroup && mount -t cgroup2 none /cgroup) 2> /dev/null && echo MOUNTED
            (echo x | tee /dev/kmsg > /dev/null) 2> /dev/null && echo WROTE to the kernel
            true"#;
        let buildpack = bench.buildpack("test/outside", script);
        let before = tree(&bench.path("buildpacks"));
        let open = format!("OPEN={}", bench.path("open").display());
        bench.build("app", &buildpack, &["--env", &open]).expect(0).never_says("WROTE").never_says("MOUNTED");
        assert_eq!(tree(&bench.path("buildpacks")), before);
        assert!(tree(&bench.path("open")).is_empty());
        assert_no_harm(bench, "writing everywhere");
    });
}

#[test]
fn a_flood_of_output_is_passed_on_with_little_memory() {
    let bench = Bench::new(User::Caller);
    let script = "yes 'a line of output that says nothing at all, again and again and again' | head -c 64M; head -c 32M /dev/zero | tr '\\0' x; echo; echo the end; exit 3";
    let buildpack = bench.buildpack("test/loud", script);
    let done = bench.build("app", &buildpack, &["--quiet"]).expect(51).says("the end");
    assert!(done.memory > 0 && done.memory < 64 << 20, "{} MiB", done.memory >> 20);
    assert!(done.stderr.len() < 1 << 20, "{} bytes of it are shown", done.stderr.len());
    assert_no_harm(&bench, "a flood");
}

#[test]
fn a_fork_bomb_is_bounded_and_ends_with_the_build() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/bomb", "echo armed; bomb() { while :; do bomb & done; }; bomb");
        let done = bench.build("app", &buildpack, &["--pids", "60", "--timeout", "5s"]);
        assert!([1, 51, 52].contains(&done.code), "{}\n{}", done.code, done.stderr);
        assert!(
            done.stderr.contains("armed") && done.stderr.contains("fork"),
            "the limit was never met:\n{}",
            done.stderr
        );
        assert_no_harm(bench, "a fork bomb");
    });
}

#[test]
fn processes_left_in_the_background_end_with_their_buildpack() {
    as_each_user(|bench| {
        for background in [
            "sleep 1000 &",
            "(trap '' TERM INT HUP; while :; do echo tick; sleep 0.01; done) &",
            "setsid bash -c 'setsid sleep 1000 & exec sleep 1000' &",
        ] {
            let buildpack = bench.buildpack("test/daemon", &format!("{background}\necho parent is done"));
            let start = Instant::now();
            bench.build("app", &buildpack, &["--timeout", "50s"]).expect(0).says("parent is done");
            assert!(start.elapsed() < Duration::from_secs(30), "{background} kept the build waiting");
            assert_no_harm(bench, background);
        }
    });
}

#[test]
fn a_build_that_fills_the_disk_is_stopped() {
    as_each_user(|bench| {
        for place in ["$CNB_LAYERS_DIR", "/workspace", "/tmp", "$HOME"] {
            let script = format!(
                "trap '' TERM; n=0; while :; do head -c 1M /dev/zero > {place}/$n; n=$((n + 1)); done"
            );
            let buildpack = bench.buildpack("test/greedy", &script);
            let done = bench.build("app", &buildpack, &["--disk", "32M", "--timeout", "50s"]).expect(52);
            done.says("32 MiB").says("--disk");
            assert_no_harm(bench, place);
        }
    });
}

#[test]
fn very_deep_folders_are_no_danger() {
    let bench = Bench::new(User::Caller);
    for place in ["$CNB_LAYERS_DIR/deep", "/workspace", "/tmp"] {
        let script = format!(
            "mkdir -p {place}; cd {place}; perl -e 'for (1..2500) {{ mkdir \"d\" and chdir \"d\" or die \"$_: $!\" }} open F, \">f\"'\n\
             printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/deep.toml"
        );
        let buildpack = bench.buildpack("test/deep", &script);
        // The limit that most systems have: no folder may be kept open for each level.
        let build = bench.build_command("app", &buildpack, &[]);
        let done = Running::start(bench.with_few_files(&build)).finish();
        assert!([0, 62].contains(&done.code), "{place}: {}\n{}", done.code, done.stderr);
        assert!(done.code == 0 || done.stderr.contains("error: "), "{}", done.stderr);
        assert_no_harm(&bench, place);
    }
}

#[test]
fn a_layer_that_its_buildpack_forgets_is_not_in_the_next_image() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/app", APP);
        bench.build("app", &buildpack, &[]).expect(0);
        bench.buildpack("test/app", "ls $CNB_LAYERS_DIR/dependency");
        bench.build("app", &buildpack, &[]).expect(0).says("Restoring data for");
        let image = bench.cnb(["inspect", "app", "--json"]).expect(0).stdout;
        assert!(!image.contains("test/app:dependency"), "{image}");
        bench.buildpack("test/app", APP);
        bench.build("app", &buildpack, &[]).expect(0).says("dependency: made");
    });
}

#[test]
fn a_large_sparse_layer_costs_no_memory() {
    let bench = Bench::new(User::Caller);
    let script = "mkdir $CNB_LAYERS_DIR/big; truncate -s 1G $CNB_LAYERS_DIR/big/zeros; printf '[types]\\nlaunch = true\\n' > $CNB_LAYERS_DIR/big.toml";
    let buildpack = bench.buildpack("test/big", script);
    let done = bench.build("app", &buildpack, &[]).expect(0);
    assert!(done.memory > 0 && done.memory < 200 << 20, "{} MiB", done.memory >> 20);
    assert_no_harm(&bench, "a large layer");
}
