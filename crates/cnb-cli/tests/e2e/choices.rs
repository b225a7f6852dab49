//! What the options of `cnb build` change.

use std::net::{Ipv4Addr, TcpListener};

use crate::builds::APP;
use crate::own_root;
use crate::support::{Bench, Running, User, as_each_user, is_root};

#[test]
fn variables_of_the_command_line_win_over_files_and_those_over_the_descriptor() {
    as_each_user(|bench| {
        let descriptor = "[_]\nschema-version = \"0.2\"\n".to_owned()
            + &["A", "B", "C"]
                .map(|n| format!("[[io.buildpacks.build.env]]\nname = \"{n}\"\nvalue = \"descriptor\"\n"))
                .concat();
        bench.file("app/project.toml", &descriptor);
        let file = bench.file("vars", "# a comment\nB=file\nC=file\nD=file = with = signs \n");
        let script = r#"for n in A B C D E; do echo "$n is '$(printenv $n || true)' and '$(cat $CNB_PLATFORM_DIR/env/$n 2> /dev/null || true)'"; done"#;
        let buildpack = bench.buildpack("test/env", script);
        let file = file.to_str().expect("a path in UTF-8");
        let mut command =
            bench.build_command("app", &buildpack, &["--env", "C=option", "--env-file", file, "--env", "E"]);
        command.env("E", "from here");
        let done = Running::start(command).finish().expect(0);
        let expected = [
            ("A", "descriptor"),
            ("B", "file"),
            ("C", "option"),
            ("D", "file = with = signs "),
            ("E", "from here"),
        ];
        for (name, value) in expected {
            assert!(
                done.stderr.contains(&format!("{name} is '{value}' and '{value}'")),
                "{name}:\n{}",
                done.stderr
            );
        }
    });
}

#[test]
fn nothing_of_the_users_own_is_visible_in_a_build() {
    as_each_user(|bench| {
        let script = r#"env; echo "home is $HOME, id is $(id -u):$(id -g)"
            for f in "$KEY" "$SECRET_FILE" /root/.bashrc /root/.ssh /etc/shadow /proc/1/environ /var/run/docker.sock /run/docker.sock; do
              if [ -e "$f" ] && head -c 1 "$f" > /dev/null 2>&1; then echo "READ $f"; fi
            done
            echo "homes: $(ls /home) roots: $(ls -A /root 2> /dev/null)" "work: $(ls -A /work /srv /mnt /media 2> /dev/null)"
            echo "processes: $(ls /proc | grep -c '^[0-9]')"
            if touch /usr/it /opt/it /etc/it /cnb/it /platform/it /cnb/buildpacks/it 2> /dev/null; then echo WROTE; fi"#;
        let buildpack = bench.buildpack("test/look", script);
        let secret = bench.file("secret", "x");
        let key = format!("KEY={}", bench.path("user/.ssh/id_rsa").display());
        let secret = format!("SECRET_FILE={}", secret.display());
        let mut command = bench.build_command("app", &buildpack, &["--env", &key, "--env", &secret]);
        command
            .env("AWS_SECRET_ACCESS_KEY", "SECRET-VALUE")
            .env("SSH_AUTH_SOCK", "/run/agent")
            .env("npm_config__auth", "SECRET-VALUE");
        let done = Running::start(command).finish().expect(0);
        let done = done
            .never_says("SECRET-VALUE")
            .never_says("SECRET-KEY")
            .never_says("READ ")
            .never_says("WROTE")
            .never_says("SSH_AUTH_SOCK");
        let done = done.says("home is /home/cnb, id is 1001:1000").says("homes: cnb roots:  work: \n");
        let count = done
            .stderr
            .lines()
            .find_map(|l| l.strip_prefix("processes: "))
            .and_then(|n| n.parse::<u32>().ok());
        assert!(count.is_some_and(|n| n < 10), "{}", done.stderr);
    });
}

#[test]
fn volumes_are_read_only_unless_they_are_asked_to_be_writable() {
    as_each_user(|bench| {
        bench.folder("given");
        bench.file("given/text", "given text\n");
        let script = "cat /given/text; if touch /given/new 2> /dev/null; then echo could write; else echo could not write; fi";
        let buildpack = bench.buildpack("test/volume", script);
        let build = |options: &str| {
            bench
                .build("app", &buildpack, &["--volume", &format!("given:/given{options}")])
                .expect(0)
                .says("given text")
        };
        build("").says("could not write");
        build(":ro").says("could not write");
        assert!(!bench.path("given/new").exists());
        build(":rw").says("could write");
        assert!(bench.path("given/new").exists());
        bench.build("app", &buildpack, &["--volume", "missing:/given"]).expect(1).says("missing");
    });
}

#[test]
fn the_network_can_be_taken_away() {
    as_each_user(|bench| {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = server.local_addr().expect("an address").port();
        let script = format!(
            "if (exec 3<> /dev/tcp/127.0.0.1/{port}) 2> /dev/null; then echo reached; else echo not reached; fi"
        );
        let buildpack = bench.buildpack("test/net", &script);
        bench.build("app", &buildpack, &[]).expect(0).says("\nreached");
        bench.build("app", &buildpack, &["--network", "none"]).expect(0).says("\nnot reached");
    });
}

#[test]
fn the_workspace_can_lie_elsewhere() {
    as_each_user(|bench| {
        bench.file("app/page", "x\n");
        let buildpack = bench.buildpack("test/where", "echo \"at $PWD: $(ls)\"");
        bench.build("app", &buildpack, &["--workspace", "/srv/site"]).expect(0).says("at /srv/site: page");
        assert!(bench.layer_listing("app", "application").contains("srv/site/page"));
        bench.build("app", &buildpack, &["--workspace", "/layers"]).expect(1).says("/layers");
        bench.build("app", &buildpack, &["--workspace", "relative"]).expect(2).says("relative");
    });
}

#[test]
fn an_unknown_default_process_lists_those_that_there_are_and_keeps_the_old_image() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/app", APP);
        bench.build("app", &buildpack, &["--default-process", "task"]).expect(0);
        let before = bench.digest("app");
        bench.build("app", &buildpack, &["--process", "ghost"]).expect(62).says("ghost").says("task, web");
        assert_eq!(bench.digest("app"), before);
        bench.build("app", &buildpack, &[]).expect(0);
        assert_ne!(bench.digest("app"), before);
    });
}

#[test]
fn a_build_can_be_told_to_take_no_longer_and_the_next_one_works() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/slow", "trap '' TERM INT; sleep 1000");
        bench
            .build("app", &buildpack, &["--timeout", "1s"])
            .expect(1)
            .says("took longer than 1 second")
            .says("--timeout");
        bench.assert_nothing_is_left();
        bench.cnb(["inspect", "app"]).expect(1);
        bench.buildpack("test/slow", APP);
        bench.build("app", &buildpack, &["--timeout", "10m"]).expect(0);
    });
}

#[test]
fn a_memory_limit_holds_or_the_user_learns_that_it_does_not() {
    as_each_user(|bench| {
        let greedy = format!("x=$(head -c 200000000 /dev/zero | tr '\\0' a)\n{APP}");
        let buildpack = bench.buildpack("test/greedy", &greedy);
        let done = bench.build("app", &buildpack, &["--memory", "64M"]);
        let told = done.stderr.contains("the memory limit is not enforced");
        assert_eq!(told, done.code == 0, "{}", done.stderr);
    });
}

#[test]
fn reports_and_sboms_go_where_they_are_wanted() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/app", APP);
        let done = bench.build(
            "app",
            &buildpack,
            &["--report", "out/report.toml", "--sbom-output-dir", "sboms", "--json", "--tag", "second"],
        );
        // The folder of a report is the user's business.
        done.expect(62).says("out/report.toml");
        bench.folder("out");
        let done = bench.build(
            "app",
            &buildpack,
            &["--report", "out/report.toml", "--sbom-output-dir", "sboms", "--json", "--tag", "second"],
        );
        let report = done.expect(0).json();
        assert_eq!(report["digest"], bench.digest("app"));
        assert_eq!(report["buildpacks"], serde_json::json!(["test/app@1.0.0"]));
        let types: Vec<_> = report["processes"]
            .as_array()
            .expect("processes")
            .iter()
            .map(|p| (&p["type"], &p["default"]))
            .collect();
        assert_eq!(types, [(&"task".into(), &false.into()), (&"web".into(), &true.into())]);
        let toml = fs_err::read_to_string(bench.path("out/report.toml")).expect("a report");
        for text in [
            report["digest"].as_str().expect("a digest"),
            report["image_id"].as_str().expect("an id"),
            "docker.io/library/second:latest",
        ] {
            assert!(toml.contains(text), "{toml}");
        }
        let sbom =
            fs_err::read_to_string(bench.path("sboms/launch/test_app/sbom.cdx.json")).expect("an SBOM");
        assert!(sbom.contains("CycloneDX"), "{sbom}");
    });
}

#[test]
fn the_time_of_creation_is_fixed_unless_it_is_given() {
    let bench = Bench::new(User::Caller);
    let buildpack = bench.buildpack("test/app", APP);
    let created = |args: &[&str], epoch: Option<&str>| {
        let mut command = bench.build_command("app", &buildpack, args);
        command.envs(epoch.map(|e| ("SOURCE_DATE_EPOCH", e)));
        Running::start(command).finish().expect(0);
        bench.cnb(["inspect", "app", "--json"]).expect(0).json()["created"]
            .as_str()
            .expect("a time")
            .to_owned()
    };
    assert_eq!(created(&[], None), "1980-01-01T00:00:01Z");
    assert_eq!(created(&[], Some("1000000000")), "2001-09-09T01:46:40Z");
    assert_eq!(
        created(&["--creation-time", "2020-02-29T12:00:00Z"], Some("1000000000")),
        "2020-02-29T12:00:00Z"
    );
    assert_eq!(created(&["--creation-time", "86400"], None), "1970-01-02T00:00:00Z");
    assert!(created(&["--creation-time", "now"], None).as_str() > "2025");
    bench.assert_nothing_is_left();
}

#[test]
fn without_isolation_an_ordinary_user_learns_what_is_missing() {
    let bench = Bench::new(User::Ordinary);
    let buildpack = bench.buildpack("test/app", APP);
    let done = bench.build("app", &buildpack, &["--isolation", "none"]).expect(1);
    assert!(done.stderr.contains("/layers") && done.stderr.contains("hint: "), "{}", done.stderr);
    bench.build("app", &buildpack, &["--isolation", "sandbox"]).expect(0);
    bench.assert_nothing_is_left();
}

#[test]
fn without_isolation_root_gets_the_same_image() {
    if !is_root() {
        // Only root can make the folders that images name.
        return;
    }
    let bench = Bench::new(User::Caller);
    bench.file("app/page", "x\n");
    let buildpack = bench.buildpack("test/app", APP);
    let base = bench.empty_base();
    let build = bench.build_command("app", &buildpack, &["--isolation", "none", "--quiet"]);
    let done = own_root::run(&bench, &build, 2);
    let isolated = bench.build("isolated", &buildpack, &["--quiet", "--run-image", &base]);
    drop(isolated);
    let isolated = bench.build("isolated", &buildpack, &["--quiet"]).expect(0).stdout;
    assert_eq!(done.stdout, isolated.repeat(2));
    bench.assert_nothing_is_left();
}
