//! The buildpack as a platform runs it, with the Node.js, npm and package registry of this machine.
#![expect(clippy::unwrap_used, reason = "the functions that tests share are tests, too")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use cnb_buildpack::tree;
use cnb_buildpack::trial::{Subject, Trial};

/// What is tried.
const SUBJECT: Subject = Subject {
    manifest_dir: env!("CARGO_MANIFEST_DIR"),
    program: env!("CARGO_BIN_EXE_buildpack-nodejs"),
    tools: &["npm"],
};

fn trial(dir: &Path, fixture: &str) -> Option<Trial> {
    SUBJECT.trial(dir, fixture).unwrap()
}

fn read(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap_or_else(|e| panic!("{e}"))
}

/// Brings everything into the state in which the next build of an app starts.
fn again(trial: &Trial, fixture: &str) {
    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture(fixture)).unwrap();
}

/// Runs the node of the image on a file of the app.
fn run(trial: &Trial, file: &str) -> String {
    let node = trial.layers_dir().join("node/bin/node");
    let out = Command::new(node).arg(file).current_dir(trial.app_dir()).env_clear().output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[track_caller]
fn build(trial: &Trial) -> String {
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    outcome.output
}

fn types(trial: &Trial, layer: &str) -> String {
    let table: toml::Table =
        toml::from_str(&read(&trial.layers_dir().join(format!("{layer}.toml")))).unwrap();
    let is = |name: &str| table["types"][name].as_bool().unwrap();
    ["launch", "build", "cache"].into_iter().filter(|t| is(t)).collect::<Vec<_>>().join(" ")
}

#[test]
fn production_packages_and_the_runtime_are_layers_of_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    assert!(trial.detect().unwrap().success);
    let output = build(&trial);
    assert!(output.contains("$ npm ci --omit=dev"), "{output}");
    assert_eq!(run(&trial, "server.js"), "is 7 a number? true\n");
    let layers = trial.layers_dir();
    assert_eq!(types(&trial, "modules"), "launch cache");
    assert_eq!(types(&trial, "node"), "launch");
    assert_eq!(types(&trial, "npm-cache"), "cache");
    assert!(layers.join("modules/node_modules/is-number").is_dir());
    assert!(!layers.join("modules/node_modules/ms").exists());
    assert!(!layers.join("modules/package.json").exists());
    assert_eq!(
        fs_err::read_link(trial.app_dir().join("node_modules")).unwrap(),
        layers.join("modules/node_modules")
    );
    assert_eq!(read(&layers.join("node/env.launch/NODE_ENV.default")), "production");
    let launch = read(&layers.join("launch.toml"));
    assert!(
        launch.contains("type = \"web\"\ncommand = [\"node\", \"server.js\"]\ndefault = true"),
        "{launch}"
    );
    assert!(read(&layers.join("modules.sbom.cdx.json")).contains("pkg:npm/is-number@7.0.0"));
    assert!(read(&layers.join("node.sbom.cdx.json")).contains("pkg:generic/node@"));
}

#[test]
fn a_second_build_runs_neither_npm_nor_node() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "built") else { return };
    let state = |trial: &Trial| {
        let app = tree::snapshot(&trial.app_dir(), &|_| false).unwrap();
        let modules = tree::snapshot(&trial.layers_dir().join("modules"), &|_| false).unwrap();
        (app, modules, read(&trial.layers_dir().join("launch.toml")))
    };
    build(&trial);
    assert_eq!(run(&trial, "dist/main.js"), "hello 2000 true\n");
    assert!(!trial.app_dir().join("only-for-the-build.txt").exists());
    let first = state(&trial);
    again(&trial, "built");
    let output = build(&trial);
    assert!(!output.contains('$'), "{output}");
    assert_eq!(state(&trial), first);
    assert!(trial.layers_dir().join("modules.sbom.cdx.json").is_file());
}

#[test]
fn a_changed_source_builds_again_and_installs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "built") else { return };
    let output = build(&trial);
    assert!(output.contains("$ npm ci --include=dev") && output.contains("$ npm ci --omit=dev"), "{output}");
    again(&trial, "built");
    fs_err::write(trial.app_dir().join("main.txt"), "changed\n").unwrap();
    let output = build(&trial);
    assert!(output.contains("$ npm run build") && !output.contains("$ npm ci"), "{output}");
    let node = Command::new("node").arg("dist/main.js").current_dir(trial.app_dir()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&node.stdout), "changed 2000 true\n");
}

#[test]
fn what_is_used_again_has_the_permissions_of_what_was_built() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let package = r#"{"scripts":{"start":"node server.js","build":"mkdir -m 770 -p out/in && echo 1 >out/in/a && chmod 640 out/in/a && echo 2 >lib/b && chmod 600 server.js && mkdir was && rm file && mkdir file && touch file/c"}}"#;
    let prepare = || {
        trial.use_app(&SUBJECT.fixture("none")).unwrap();
        let app = trial.app_dir();
        fs_err::create_dir(app.join("lib")).unwrap();
        for (name, text) in [("package.json", package), ("server.js", ""), ("lib/a", ""), ("file", "")] {
            fs_err::write(app.join(name), text).unwrap();
        }
        for name in ["", "lib"] {
            fs_err::set_permissions(app.join(name), std::fs::Permissions::from_mode(0o775)).unwrap();
        }
    };
    let state = || {
        let root = trial.app_dir().metadata().unwrap().permissions().mode();
        (root, tree::snapshot(&trial.app_dir(), &|_| false).unwrap())
    };
    prepare();
    build(&trial);
    let built = state();
    trial.restore().unwrap();
    prepare();
    let output = build(&trial);
    assert!(output.contains("is used again"), "{output}");
    assert_eq!(state(), built);
}

#[test]
fn a_variable_of_the_user_builds_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "built") else { return };
    build(&trial);
    again(&trial, "built");
    trial.set("COLOUR", "blue").unwrap();
    assert!(build(&trial).contains("$ npm run build"));
}

#[test]
fn two_folders_give_the_same_layers() {
    let of = || {
        let dir = tempfile::tempdir().unwrap();
        let trial = trial(dir.path(), "built")?;
        build(&trial);
        let env = Path::new("env.launch");
        Some(tree::snapshot(&trial.layers_dir().join("modules"), &|p| p == env).unwrap())
    };
    assert_eq!(of(), of());
}

#[test]
fn a_built_front_end_is_served_without_node() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "front-end") else { return };
    build(&trial);
    let layers = trial.layers_dir();
    let launch = read(&layers.join("launch.toml"));
    assert!(launch.contains(r#"command = ["static-server", "--root", "dist", "--spa"]"#), "{launch}");
    assert_eq!(types(&trial, "server"), "launch");
    assert_eq!(types(&trial, "dev-modules"), "cache");
    assert!(!layers.join("node.toml").exists() && !layers.join("modules.toml").exists());
    assert!(!trial.app_dir().join("node_modules").exists());
}

#[test]
fn packages_of_a_workspace_are_those_of_the_app() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "workspaces") else { return };
    build(&trial);
    assert_eq!(run(&trial, "server.js"), "a number\n");
    let link = trial.layers_dir().join("modules/node_modules/@ours/greeting");
    assert_eq!(fs_err::read_link(link).unwrap(), trial.app_dir().join("packages/greeting"));
}

#[test]
fn the_package_of_a_repository_that_starts_is_built_after_what_it_needs_and_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "monorepo") else { return };
    trial.set("CNB_NODE_WORKSPACE", "web").unwrap();
    let plan = trial.detect().unwrap();
    assert!(plan.success, "{}", plan.output);
    let output = build(&trial);
    let at = |text: &str| output.find(text).unwrap_or_else(|| panic!("no {text} in {output}"));
    assert!(at("npm run build (in packages/greeting)") < at("npm run build (in apps/web)"));
    let launch = read(&trial.layers_dir().join("launch.toml"));
    let web = trial.app_dir().join("apps/web");
    assert!(launch.contains(&format!("working-dir = \"{}\"", web.display())), "{launch}");
    assert_eq!(run(&trial, "apps/web/server.js"), "true hello 172800000 hello\n\n");
    let path = read(&trial.layers_dir().join("modules/env.launch/PATH.prepend"));
    assert!(path.starts_with(&format!("{}/node_modules/.bin:", web.display())), "{path}");
}

#[test]
fn a_server_for_developers_is_not_what_a_plan_says_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "old-hash") else { return };
    let plan = || trial.detect().unwrap().plan;
    assert!(plan().contains("node server.js"), "{}", plan());
    let manifest = trial.app_dir().join("package.json");
    fs_err::write(&manifest, read(&manifest).replace("node server.js", "vite")).unwrap();
    assert!(plan().contains("npm run build") && !plan().contains("vite"), "{}", plan());
}

#[test]
fn a_build_tool_that_wants_an_old_hash_gets_it_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "old-hash") else { return };
    let output = build(&trial);
    assert!(output.contains("NODE_OPTIONS=--openssl-legacy-provider"), "{output}");
    assert_eq!(run(&trial, "server.js"), "built\n");
}

#[test]
fn what_an_install_script_patches_is_in_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "patched") else { return };
    let output = build(&trial);
    assert!(output.contains("$ npm run postinstall") && output.contains("$ npm prune"), "{output}");
    assert_eq!(run(&trial, "index.js"), "patched\n");
    assert!(!trial.layers_dir().join("modules/node_modules/ms").exists());
    again(&trial, "patched");
    let output = build(&trial);
    assert!(!output.contains('$'), "{output}");
}

#[test]
fn a_stale_lock_file_is_named_and_the_build_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    let file = trial.app_dir().join("package.json");
    fs_err::write(&file, read(&file).replace("\"7.0.0\"", "\"6.0.0\"")).unwrap();
    let output = build(&trial);
    assert!(output.contains("warning: the lock file does not match package.json"), "{output}");
    assert!(read(&trial.layers_dir().join("modules.sbom.cdx.json")).contains("pkg:npm/is-number@6.0.0"));
}

#[test]
fn an_app_without_a_lock_file_builds_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "built") else { return };
    tree::remove(&trial.app_dir().join("package-lock.json")).unwrap();
    let output = build(&trial);
    assert!(output.contains("warning: there is no package-lock.json"), "{output}");
    // The second installation has the versions of the first.
    assert!(
        output.contains("$ npm install --include=dev") && output.contains("$ npm ci --omit=dev"),
        "{output}"
    );
}

#[test]
fn packages_that_the_app_brings_are_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    let own = trial.app_dir().join("node_modules/is-number");
    fs_err::create_dir_all(&own).unwrap();
    fs_err::write(own.join("index.js"), "throw new Error('not this one')").unwrap();
    let output = build(&trial);
    assert!(output.contains("the app's own `node_modules` is left out"), "{output}");
    assert_eq!(run(&trial, "server.js"), "is 7 a number? true\n");
}

#[test]
fn development_tools_that_the_start_needs_stay_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    let file = trial.app_dir().join("package.json");
    fs_err::write(&file, read(&file).replace("node server.js", "node -r ms server.js")).unwrap();
    let output = build(&trial);
    assert!(
        output.contains(
            "warning: development dependencies are part of the image, since the app starts with ms"
        ),
        "{output}"
    );
    assert_eq!(types(&trial, "dev-modules"), "launch cache");
    assert!(trial.app_dir().join("node_modules/ms").is_dir());
}

#[test]
fn a_failing_build_script_is_named_with_a_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "built") else { return };
    let file = trial.app_dir().join("package.json");
    fs_err::write(&file, read(&file).replace("node build.js", "no-such-tool build")).unwrap();
    let outcome = trial.build().unwrap();
    assert_eq!(outcome.status, "exit status: 1");
    assert!(outcome.output.contains("error: `npm run build` failed: exit status: 127"), "{}", outcome.output);
    assert!(outcome.output.contains("next step: add the package that provides it"), "{}", outcome.output);
}

#[test]
fn a_version_that_nobody_has_lists_what_is_available() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    trial.set("CNB_NODE_VERSION", "99.x").unwrap();
    let outcome = trial.build().unwrap();
    assert_eq!(outcome.status, "exit status: 1");
    assert!(outcome.output.contains("Node.js `99.x` is not on this machine"), "{}", outcome.output);
    assert!(outcome.output.contains("(of this machine)"), "{}", outcome.output);
    trial.set("CNB_NODE_VERSION", "banana").unwrap();
    let outcome = trial.build().unwrap();
    assert!(
        outcome.output.contains("`banana` in CNB_NODE_VERSION is no version of Node.js"),
        "{}",
        outcome.output
    );
}

#[test]
fn an_app_with_nothing_to_start_fails_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "nothing") else { return };
    let outcome = trial.build().unwrap();
    assert!(outcome.output.contains("error: package.json does not say what to start"), "{}", outcome.output);
    fs_err::write(trial.app_dir().join("Procfile"), "worker: node worker.js\n").unwrap();
    build(&trial);
    assert_eq!(read(&trial.layers_dir().join("launch.toml")).trim(), "processes = []");
}

#[test]
fn detection_names_what_it_needs_and_where_a_file_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let outcome = trial.detect().unwrap();
    assert_eq!(outcome.status, "exit status: 100");
    assert_eq!(
        outcome.output.trim(),
        "would need: a `package.json` (or a `server.js` alone) in the app's folder"
    );
    trial.use_app(&SUBJECT.fixture("malformed")).unwrap();
    let outcome = trial.detect().unwrap();
    assert_eq!(outcome.status, "exit status: 1");
    assert!(
        outcome.output.contains("`package.json`: trailing comma at line 3 column 1"),
        "{}",
        outcome.output
    );
}

#[test]
fn npm_is_shipped_for_apps_that_run_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    fs_err::write(trial.app_dir().join("Procfile"), "web: npm start\n").unwrap();
    build(&trial);
    let npm = trial.layers_dir().join("npm/bin/npm");
    assert!(npm.metadata().unwrap().permissions().mode() & 0o111 != 0);
}

#[test]
fn a_server_file_without_a_package_json_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "alone") else { return };
    assert!(trial.detect().unwrap().success);
    let output = build(&trial);
    assert!(!output.contains("$ npm"), "{output}");
    assert_eq!(run(&trial, "server.js"), "alone\n");
    assert!(!trial.layers_dir().join("modules.toml").exists());
}

#[test]
fn the_front_end_of_another_language_is_built_and_nothing_of_node_is_in_the_image() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "go-web") else { return };
    let plan: toml::Table = trial.detect().unwrap().plan.parse().unwrap();
    let names = |of: &str| -> Vec<String> {
        let entries = plan[of].as_array().unwrap();
        entries.iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("provides"), ["front-end", "web-assets"]);
    assert_eq!(names("requires"), ["front-end"], "an app of another language asks for the rest");
    let intent = &plan["requires"][0]["metadata"];
    assert_eq!(intent["because"].as_str(), Some("the front-end of `web/package.json`"));
    assert_eq!(intent["commands"].as_array().unwrap().last().unwrap().as_str(), Some("npm run build"));
    assert_eq!(plan.get("or"), None, "the app itself is none of Node.js");
    let outcome = trial.build_for(&["web-assets"]).unwrap();
    assert!(outcome.success, "{}", outcome.output);
    assert!(outcome.output.contains("the front-end in `web` is built for the app"), "{}", outcome.output);
    assert_eq!(read(&trial.app_dir().join("web/dist/index.html")), "7.0.0\n");
    assert!(!trial.app_dir().join("web/node_modules").exists());
    assert_eq!(read(&trial.layers_dir().join("launch.toml")).trim(), "processes = []");
    for entry in fs_err::read_dir(trial.layers_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "toml") {
            assert!(!read(&path).contains("launch = true"), "{}", path.display());
        }
    }
}

#[test]
fn what_a_build_would_do_is_in_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    let plan: toml::Table = trial.detect().unwrap().plan.parse().unwrap();
    let intent = &plan["requires"][0]["metadata"];
    assert_eq!(intent["because"].as_str(), Some("a `package.json`"));
    assert_eq!(intent["commands"][0].as_str(), Some("npm ci"));
    assert!(intent["processes"]["web"].as_str().unwrap().starts_with("node "));
}

#[test]
fn the_npmrc_of_a_binding_is_used_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    let binding = dir.path().join("platform/bindings/private");
    fs_err::create_dir_all(&binding).unwrap();
    fs_err::write(binding.join("type"), "npmrc\n").unwrap();
    // Nothing was published by then, so whoever reads it fails.
    fs_err::write(binding.join(".npmrc"), "before=2001-01-01\n").unwrap();
    tree::remove(&trial.app_dir().join("package-lock.json")).unwrap();
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("a version of a package is not in the registry"), "{}", outcome.output);
}

#[test]
fn a_version_of_another_file_is_named_where_it_contradicts() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "plain") else { return };
    let major =
        Command::new("node").arg("-p").arg("process.versions.node.split('.')[0]").output().unwrap().stdout;
    let major = String::from_utf8(major).unwrap();
    fs_err::write(trial.app_dir().join(".nvmrc"), &major).unwrap();
    fs_err::write(trial.app_dir().join(".tool-versions"), "nodejs 4.0.0\n").unwrap();
    let output = build(&trial);
    let warning = format!("warning: .nvmrc asks for Node.js {}, but .tool-versions for 4.0.0", major.trim());
    assert!(output.contains(&warning), "{output}");
}
