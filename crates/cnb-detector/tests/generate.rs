//! Generation over real files, with a closure in the place of `bin/generate`.

#![expect(clippy::unwrap_used, reason = "in what tests share, a panic is a failed test, too")]

use std::cell::RefCell;
use std::io;

use cnb_detector::{Event, GenerateConfig, GenerateError, Generated, generate};
use cnb_fs::{GuestPath, Root};
use cnb_sandbox::{Exit, Invocation};
use cnb_spec::api::PlatformApi;
use cnb_spec::env::Env;
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::platform::analyzed_toml::AnalyzedRunImage;
use cnb_spec::platform::plan_toml::Plan;

type Output<'a> = &'a mut dyn FnMut(&[u8]);

/// Runs generation with two extensions, `a` and `b`; `files` are what they leave, as `a/run.Dockerfile`.
fn run(
    api: &str,
    files: &[(&str, &str)],
) -> (tempfile::TempDir, Vec<Event>, Result<Generated, GenerateError>) {
    let dir = tempfile::tempdir().unwrap();
    let handle: std::os::fd::OwnedFd = std::fs::File::open(dir.path()).unwrap().into();
    let root = Root::new(handle, None);
    let path = |name: &str| GuestPath::new(name);
    let mut group = Vec::new();
    for id in ["a", "b"] {
        let text = format!("api = '0.10'\n[extension]\nid = '{id}'\nversion = '1'\n");
        root.write(&path(&format!("/ext/{id}/1/extension.toml")), text.as_bytes(), 0o644).unwrap();
        root.write(&path(&format!("/ext/{id}/1/bin/generate")), b"", 0o755).unwrap();
        group.push(toml::from_str(&format!("id = '{id}'\nversion = '1'\napi = '0.10'")).unwrap());
    }
    let platform_api: PlatformApi = api.parse().unwrap();
    let config = GenerateConfig {
        platform_api,
        app: path("/workspace"),
        extensions: path("/ext"),
        generated: path("/layers/generated"),
        platform: path("/platform"),
        build_config: path("/config"),
        scratch: path("/tmp"),
        group,
        plan: toml::from_str::<Plan>(
            "[[entries]]\n[[entries.providers]]\nid = 'a'\nversion = '1'\nextension = true\n[[entries.requires]]\nname = 'x'\n\
             [[entries]]\n[[entries.providers]]\nid = 'a'\nversion = '1'\n[[entries.requires]]\nname = 'y'",
        )
        .unwrap(),
        run_image: Some(AnalyzedRunImage { image: "run".into(), reference: "run@x".into(), ..AnalyzedRunImage::default() }),
        run_images: toml::from_str("[[images]]\nimage = 'docker.io/library/listed:latest'").unwrap(),
        exec_env: ExecEnv::default(),
        env: Env::new(),
    };
    let act = |invocation: &Invocation, _: Output<'_>| -> io::Result<Exit> {
        let output = GuestPath::new(&invocation.args[0]);
        let id = output.file_name().unwrap().to_string_lossy().into_owned();
        for (name, text) in files.iter().filter_map(|(n, t)| Some((n.strip_prefix(&format!("{id}/"))?, t))) {
            root.write(&output.join(name), text.as_bytes(), 0o644).unwrap();
        }
        Ok(Exit::Code(0))
    };
    let events = RefCell::new(Vec::new());
    let generated = generate(&config, &root, &act, &|event| events.borrow_mut().push(event));
    (dir, events.into_inner(), generated)
}

const EXTEND: &str = "ARG base_image\nFROM ${base_image}\nRUN true\n";

#[test]
fn the_last_switch_of_the_run_image_wins_and_earlier_dockerfiles_are_put_aside() {
    let files = [("a/run.Dockerfile", EXTEND), ("b/run.Dockerfile", "FROM listed\n")];
    let (dir, events, generated) = run("0.14", &files);
    let generated = generated.unwrap();
    let expected = AnalyzedRunImage {
        image: "listed".into(),
        reference: "listed".into(),
        ..AnalyzedRunImage::default()
    };
    assert_eq!(generated.run_image, Some(expected));
    assert!(!events.iter().any(|e| matches!(e, Event::UnlistedRunImage(_))));
    assert!(dir.path().join("layers/generated/a/run.Dockerfile.ignore").is_file());
    assert!(dir.path().join("layers/generated/b/run.Dockerfile").is_file());
}

#[test]
fn instructions_on_the_run_image_extend_it() {
    let (_dir, _, generated) = run("0.14", &[("a/run.Dockerfile", EXTEND)]);
    let run_image = generated.unwrap().run_image.unwrap();
    assert!(run_image.extend && run_image.image == "run" && run_image.reference == "run@x");
}

#[test]
fn what_extensions_met_leaves_the_plan() {
    let (_dir, _, generated) = run("0.14", &[]);
    let left: Vec<_> =
        generated.unwrap().plan.entries.into_iter().map(|e| e.requires[0].name.clone()).collect();
    assert_eq!(left, ["y"]);
}

#[test]
fn before_contexts_existed_files_are_laid_out_by_kind() {
    let files =
        [("a/build.Dockerfile", EXTEND), ("a/extend-config.toml", "[[build.args]]\nname = 'k'\nvalue = 'v'")];
    let (dir, _, generated) = run("0.12", &files);
    generated.unwrap();
    assert!(dir.path().join("layers/generated/build/a/Dockerfile").is_file());
    assert!(dir.path().join("layers/generated/build/a/extend-config.toml").is_file());
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}

#[track_caller]
fn check_error(files: &[(&str, &str)], expected: &str) {
    let error = run("0.14", files).2.unwrap_err();
    let cause = std::error::Error::source(&error).map(|c| format!(": {c}")).unwrap_or_default();
    assert_eq!(format!("{error}{cause}"), expected);
}

#[test]
fn what_an_extension_may_not_generate_is_an_error() {
    check_error(
        &[("a/build.Dockerfile", "FROM x")],
        "failed to parse build.Dockerfile for extension a: build.Dockerfile did not start with required ARG command",
    );
    check_error(
        &[("a/extend-config.toml", "[[run.args]]\nname = 'group_id'")],
        "validating extend config: invalid content: arg with name \"group_id\" is not allowed",
    );
    check_error(
        &[("a/context/f", ""), ("a/context.run/f", "")],
        "image-specific context dir is provided together with a shared context",
    );
}
