//! Service bindings: there while building and running, and nowhere afterwards.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::own_root;
use crate::support::{Bench, Done, User, as_each_user, is_root};

const SECRET: &str = "hunter2-hunter3";
const DB: &str = "db=postgresql,username=app,password=hunter2-hunter3";

/// Returns whether a file below a folder has the secret in it.
fn is_kept_below(dir: &Path) -> bool {
    std::process::Command::new("grep").args(["-rqF", SECRET]).arg(dir).status().expect("grep").success()
}

fn build(bench: &Bench, script: &str, args: &[&str]) -> Done {
    let buildpack = bench.buildpack("test/bound", script);
    bench.build("app", &buildpack, args)
}

#[test]
fn a_build_reads_a_binding_that_nobody_can_change_and_that_is_gone_afterwards() {
    as_each_user(|bench| {
        let script = r#"
            echo "root $SERVICE_BINDING_ROOT, type $(cat "$SERVICE_BINDING_ROOT/db/type")"
            echo "password $(cat "$CNB_PLATFORM_DIR/bindings/db/password")"
            printf 'in pieces hunter2'; sleep 0.2; printf -- '-hunter3\n' >&2
            if ( echo x > "$SERVICE_BINDING_ROOT/db/password" ) 2>/dev/null; then exit 7; fi
            if touch "$SERVICE_BINDING_ROOT/new" 2>/dev/null; then exit 8; fi
            [ "$(stat -f -c %T "$SERVICE_BINDING_ROOT")" = tmpfs ]
        "#;
        let done = build(bench, script, &["--binding", DB, "--verbose"]).expect(0);
        let done =
            done.says("root /platform/bindings, type postgresql").says("password ***").says("in pieces ***");
        done.never_says(SECRET);
        assert!(!is_kept_below(&bench.path("home")), "the secret is on the disk");
        build(
            bench,
            r#"[ -z "${SERVICE_BINDING_ROOT-}" ]; [ -z "$(ls "$CNB_PLATFORM_DIR/bindings")" ]"#,
            &[],
        )
        .expect(0);
    });
}

#[test]
fn a_secret_in_a_layer_the_app_or_a_label_fails_the_build_and_names_the_place() {
    as_each_user(|bench| {
        let layer = r#"
            mkdir -p "$CNB_LAYERS_DIR/conf"; printf '[types]\nlaunch = true\n' > "$CNB_LAYERS_DIR/conf.toml"
            cp "$SERVICE_BINDING_ROOT/db/password" "$CNB_LAYERS_DIR/conf/file"
        "#;
        let app = r#"cp "$SERVICE_BINDING_ROOT/db/password" here"#;
        let label = r#"printf '[[labels]]\nkey = "k"\nvalue = "%s"\n' "$(cat "$SERVICE_BINDING_ROOT/db/password")" > "$CNB_LAYERS_DIR/launch.toml""#;
        let sbom = r#"printf '{"bomFormat":"CycloneDX","x":"%s"}' "$(cat "$SERVICE_BINDING_ROOT/db/password")" > "$CNB_LAYERS_DIR/launch.sbom.cdx.json""#;
        for (script, place) in [
            (layer, "layers/test_bound/conf/file` of the layer `test/bound:conf`"),
            (app, "workspace/here`"),
            (label, "the label `k`"),
            (sbom, "sbom"),
        ] {
            let done = build(bench, script, &["--binding", DB]).expect(62);
            done.says("`password` of the binding `db` would be in the image").says(place).never_says(SECRET);
            bench.cnb(["inspect", "app"]).expect(1);
        }
    });
}

#[test]
fn a_run_reads_a_binding_that_is_on_no_disk() {
    as_each_user(|bench| {
        let buildpack = bench.buildpack("test/app", "exit 0");
        let path = buildpack.to_str().expect("UTF-8");
        bench.cnb(["build", "app", "--image", "app", "--buildpack", path]).expect(0);
        bench.file("bound/type", "postgresql\n");
        bench.file("bound/password", SECRET);
        let run = |script| {
            bench.cnb(["run", "app", "--binding", "db=./bound", "--entrypoint", "bash", "--", "-c", script])
        };
        let found = run(
            r#"cat "$SERVICE_BINDING_ROOT"/db/{type,password}; touch "$SERVICE_BINDING_ROOT/x" 2>/dev/null || echo fixed"#,
        );
        assert_eq!(found.expect(0).stdout, format!("postgresql\n{SECRET}fixed\n"));
        assert!(!is_kept_below(&bench.path("home")), "the secret is on the disk");
    });
}

#[test]
fn certificates_of_a_binding_are_trusted_by_builds_and_runs() {
    as_each_user(|bench| {
        let pem = "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n";
        bench.file("ca/type", "ca-certificates");
        bench.file("ca/own.pem", pem);
        let script = r#"for f in "$SSL_CERT_FILE" "$NODE_EXTRA_CA_CERTS" "$GIT_SSL_CAINFO"; do grep -q TUlJQg== "$f"; done"#;
        let buildpack = bench.buildpack("test/app", script);
        let path = buildpack.to_str().expect("UTF-8");
        bench.cnb(["build", "app", "--image", "app", "--buildpack", path, "--binding", "ca"]).expect(0);
        let run = |extra: &[&str]| {
            let script = "grep -c TUlJQg== $SSL_CERT_FILE; echo $PIP_CERT";
            let mut all = vec!["run", "app", "--entrypoint", "bash"];
            all.extend(extra);
            all.extend(["--", "-c", script]);
            bench.cnb(all)
        };
        assert_eq!(run(&["--binding", "ca", "--env", "PIP_CERT=own"]).expect(0).stdout, "1\nown\n");
        assert!(!run(&[]).stdout.starts_with('1'));
    });
}

#[test]
fn bindings_that_make_no_sense_are_named() {
    as_each_user(|bench| {
        let refused = |typed: &str, code, text: &str| {
            build(bench, "exit 0", &["--binding", typed]).expect(code).says(text);
        };
        refused("db=", 2, "the binding `db` has no usable type");
        refused("../db=t", 2, "`../db` cannot be the name of a binding");
        refused("./missing", 1, "failed to read the binding `missing`");
        bench.folder("untyped");
        refused("untyped", 2, "the binding `untyped` has no usable type");
        build(bench, "exit 0", &["--binding", "db=t", "--binding", "db=u"])
            .expect(1)
            .says("two bindings with the name `db`");
        if !is_root() || !bench.is_roots() {
            let locked = bench.folder("locked");
            fs_err::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).expect("another mode");
            refused("locked", 1, "failed to read the binding `locked`");
            fs_err::set_permissions(&locked, std::fs::Permissions::from_mode(0o700)).expect("another mode");
        }
    });
}

#[test]
fn a_build_without_isolation_has_bindings_that_only_the_build_user_reads_and_that_go_with_it() {
    if !is_root() {
        // Only root can make the folders that images name.
        return;
    }
    let bench = Bench::new(User::Caller);
    let script = r#"
        echo "at $SERVICE_BINDING_ROOT"
        [ "$(stat -c %a "$SERVICE_BINDING_ROOT")" = 700 ]; [ "$(stat -c %a "$SERVICE_BINDING_ROOT/db/password")" = 400 ]
        [ "$SERVICE_BINDING_ROOT" -ef "$CNB_PLATFORM_DIR/bindings" ]
        echo "password $(cat "$SERVICE_BINDING_ROOT/db/password")"
    "#;
    let buildpack = bench.buildpack("test/bound", script);
    let build = bench.build_command("app", &buildpack, &["--binding", DB, "--isolation", "none"]);
    let done = own_root::run(&bench, &build, 1);
    let at = done.stderr.lines().find_map(|l| l.strip_prefix("at ")).expect("a folder").to_owned();
    done.says("password ***").never_says(SECRET);
    assert!(!Path::new(&at).exists(), "{at} is left");
}
