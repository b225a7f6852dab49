//! The program behind `bin/detect` and `bin/build`.

use std::ffi::OsStr;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cnb_fs::toml_file;
use cnb_spec::env::Env;
use serde::Deserialize;

use crate::context::{PlanEntry, var};
use crate::log::Log;
use crate::{BuildContext, DetectContext, Detection, Failure, Target};

/// A buildpack.
pub trait Buildpack {
    /// Decides whether this buildpack is for the app.
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure>;

    /// Builds: fills layers, changes the app directory, declares processes.
    fn build(&self, cx: &BuildContext) -> Result<(), Failure>;
}

/// The exit code of `bin/detect` that says "not for me" (requirement C25).
const NOT_FOR_ME: u8 = 100;

/// Runs the phase that this program was named after: `detect` or `build`.
///
/// The environment and the arguments are read here, once; everything below takes values.
#[expect(clippy::disallowed_methods, reason = "this is `main`: the one place that reads the environment")]
pub fn main(buildpack: &dyn Buildpack) -> ExitCode {
    let env: Env = std::env::vars_os().collect();
    let args: Vec<_> = std::env::args_os().collect();
    let phase = args.first().map(PathBuf::from);
    let phase = phase.as_deref().and_then(|p| p.file_name()).and_then(OsStr::to_str).unwrap_or_default();
    let outcome = match phase {
        "detect" => detect(buildpack, env),
        "build" => build(buildpack, env).map(|()| ExitCode::SUCCESS),
        other => {
            Err(Failure::new(format!("this is a buildpack's `bin/detect` and `bin/build`, not `{other}`"))
                .next("let a Cloud Native Buildpacks platform run it"))
        }
    };
    outcome.unwrap_or_else(|failure| {
        for (n, line) in failure.to_string().lines().enumerate() {
            write_line(&format!("  {}{line}", if n == 0 { "error: " } else { "" }));
        }
        ExitCode::FAILURE
    })
}

fn write_line(line: &str) {
    // A reader that has gone away is no reason to stop a build.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn detect(buildpack: &dyn Buildpack, env: Env) -> Result<ExitCode, Failure> {
    let plan_path = path(&env, "CNB_BUILD_PLAN_PATH")?;
    let cx = DetectContext {
        app_dir: current_dir()?,
        buildpack_dir: path(&env, "CNB_BUILDPACK_DIR")?,
        platform_dir: path(&env, "CNB_PLATFORM_DIR")?,
        target: target(&env)?,
        exec_env: var(&env, "CNB_EXEC_ENV").map(str::to_owned),
        env,
        log: Log::new(write_line),
    };
    match buildpack.detect(&cx)? {
        Detection::Pass(plan) => {
            let text = toml::to_string(&plan).map_err(Failure::on("failed to write the Build Plan"))?;
            fs_err::write(plan_path, text)?;
            Ok(ExitCode::SUCCESS)
        }
        Detection::Fail(need) => {
            write_line(&format!("would need: {}", need.replace('\n', " ")));
            Ok(ExitCode::from(NOT_FOR_ME))
        }
    }
}

fn build(buildpack: &dyn Buildpack, env: Env) -> Result<(), Failure> {
    #[derive(Default, Deserialize)]
    struct Plan {
        #[serde(default)]
        entries: Vec<PlanEntry>,
    }
    #[derive(Default, Deserialize)]
    struct Store {
        #[serde(default)]
        metadata: toml::Table,
    }
    let layers_dir = path(&env, "CNB_LAYERS_DIR")?;
    let plan: Plan = toml_file::read_host(&path(&env, "CNB_BP_PLAN_PATH")?)?;
    let store_path = layers_dir.join("store.toml");
    let store: Store =
        if store_path.exists() { toml_file::read_host(&store_path)? } else { Store::default() };
    let program = std::env::current_exe().map_err(Failure::on("failed to find this program's own file"))?;
    let cx = BuildContext {
        app_dir: current_dir()?,
        buildpack_dir: path(&env, "CNB_BUILDPACK_DIR")?,
        platform_dir: path(&env, "CNB_PLATFORM_DIR")?,
        target: target(&env)?,
        exec_env: var(&env, "CNB_EXEC_ENV").map(str::to_owned),
        layers_dir,
        plan: plan.entries,
        store: store.metadata,
        program,
        env,
        log: Log::new(write_line),
    };
    buildpack.build(&cx)
}

fn current_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(Failure::on("failed to find the app directory"))
}

fn required<'a>(env: &'a Env, name: &str) -> Result<&'a OsStr, Failure> {
    env.get(OsStr::new(name)).map(std::ffi::OsString::as_os_str).filter(|v| !v.is_empty()).ok_or_else(|| {
        Failure::new(format!("the environment variable `{name}` is not set"))
            .next("let a platform that supports Buildpack API 0.12 run this buildpack")
    })
}

fn path(env: &Env, name: &str) -> Result<PathBuf, Failure> {
    required(env, name).map(PathBuf::from)
}

fn target(env: &Env) -> Result<Target, Failure> {
    let text = |name| required(env, name).map(|v| v.to_string_lossy().into_owned());
    Ok(Target { os: text("CNB_TARGET_OS")?, arch: text("CNB_TARGET_ARCH")? })
}
