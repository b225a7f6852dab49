//! `cnb plan`: what a build would do, without building.

use cnb_testkit::ScriptBuildpack;

use crate::support::{Bench, as_each_user};

/// Passes with an intent in the entry of the plan that it provides itself, if there is a page.
const DETECT: &str = r#"
if [ ! -e page ]; then echo "would need: a page"; exit 100; fi
cat > "$CNB_BUILD_PLAN_PATH" <<END
[[provides]]
name = "page"
[[requires]]
name = "page"
[requires.metadata]
because = "a page"
commands = ["print page"]
processes = { web = "serve ${GREETING:-nothing}" }
[[requires.metadata.versions]]
of = "printer"
version = "7"
source = "page"
END
"#;

fn plan(bench: &Bench, args: &[&str]) -> crate::support::Done {
    let base = bench.empty_base();
    let own = ScriptBuildpack {
        detect: DETECT.to_owned(),
        build: "exit 1".to_owned(),
        ..ScriptBuildpack::new("test/page")
    };
    let path = bench.write_buildpack(&own);
    let mut all = vec!["plan", "app", "--run-image", &base, "--buildpack", path.to_str().expect("UTF-8")];
    all.extend(args);
    bench.cnb(all)
}

#[test]
fn a_plan_tells_what_a_build_would_do_and_builds_nothing() {
    as_each_user(|bench| {
        bench.file("app/page", "");
        let found = plan(bench, &["--json", "--env", "GREETING=hello"]).expect(0).json();
        let page = &found["buildpacks"][0];
        assert_eq!((&page["id"], &page["because"]), (&"test/page".into(), &"a page".into()));
        assert_eq!(page["versions"][0]["source"], "page");
        assert_eq!(found["processes"]["web"]["command"], "serve hello");
        assert_eq!(found["processes"]["web"]["buildpack"], "test/page@1.0.0");

        let shown = plan(bench, &[]).expect(0);
        assert!(
            shown.stdout.starts_with("test/page@1.0.0, for a page\n  uses   printer 7 (page)\n"),
            "{}",
            shown.stdout
        );
        shown.never_says("DETECTING");
        assert_eq!(bench.cnb(["images", "--quiet"]).expect(0).stdout, "");
        assert!(!bench.path("home/builds").exists(), "no cache");
    });
}

#[test]
fn a_plan_that_fits_nothing_fails_as_the_build_does() {
    as_each_user(|bench| {
        plan(bench, &[]).expect(20).says("no buildpack can build").says("would need: a page");
        let found = plan(bench, &["--json"]).expect(20);
        assert_eq!(found.stdout, "");
        let broken = ScriptBuildpack { detect: "exit 7".to_owned(), ..ScriptBuildpack::new("test/broken") };
        let path = bench.write_buildpack(&broken);
        plan(bench, &["--buildpack", path.to_str().expect("UTF-8")]).expect(21);
        bench.file("app/page", "");
        plan(bench, &["--buildpack", "no/where"]).expect(1).says("no/where");
    });
}

#[test]
fn the_bundled_buildpacks_that_were_passed_over_say_what_they_would_need() {
    as_each_user(|bench| {
        bench.file("app/index.html", "hello");
        let found = bench.cnb(["plan", "app", "--run-image", &bench.empty_base(), "--json"]).expect(0).json();
        let taking_part: Vec<_> =
            found["buildpacks"].as_array().expect("a list").iter().map(|b| &b["id"]).collect();
        assert_eq!(taking_part, ["cnb/static"]);
        let passed_over = found["passed_over"].as_array().expect("a list");
        let node = passed_over
            .iter()
            .find(|p| p["buildpack"].as_str().is_some_and(|b| b.starts_with("cnb/nodejs@")));
        let reason = node.expect("an entry for Node.js")["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("would need: a `package.json`"), "{reason}");
    });
}
