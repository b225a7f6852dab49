//! `bin/detect`: run it, keep what it prints, read its build plan (requirements C2 to C14, C25 to C29).

use std::error::Error;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cnb_dirs::scratch::Scratch;
use cnb_dirs::store::Module;
use cnb_dirs::variables::{self, Overrides};
use cnb_fs::toml_file::{self, TomlFileError};
use cnb_fs::{FsError, GuestPath, Root};
use cnb_sandbox::{Exit, Invocation, Run};
use cnb_spec::api::BuildpackApi;
use cnb_spec::buildpack::build_plan::BuildPlan;
use cnb_spec::env::Env;
use cnb_spec::id::ModuleKind;
use cnb_spec::target::Target;

use crate::Config;

/// The most that is kept of what one `bin/detect` prints: 16 MiB.
pub const OUTPUT_LIMIT: usize = 16 << 20;

const PASS: i32 = 0;
const FAIL: i32 = 100;

/// The result of one module's detection.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it passed.
    pub verdict: Verdict,
    /// What it printed, up to [`OUTPUT_LIMIT`].
    pub output: Vec<u8>,
    /// Its build plan; empty unless it passed.
    pub plan: BuildPlan,
}

/// Whether a module passed detection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It wants to take part.
    Passed,
    /// It does not (exit code 100).
    Failed,
    /// It cannot build for the run image's target, so it did not run; the reason.
    WrongTarget(String),
    /// It broke with this exit code.
    Code(i32),
    /// It broke in another way: a signal, a plan that cannot be read, a program that does not start.
    Broken(String),
}

impl Verdict {
    /// Returns whether it counts as "failed with an error" for a module that is `optional` or not.
    ///
    /// A wrong target is one only for a required module (Δ13).
    pub fn is_broken(&self, optional: bool) -> bool {
        match self {
            Self::Passed | Self::Failed => false,
            Self::WrongTarget(_) => !optional,
            Self::Code(_) | Self::Broken(_) => true,
        }
    }
}

impl Outcome {
    /// Makes the outcome of a module that was not run.
    pub fn not_run(verdict: Verdict) -> Self {
        Self { verdict, output: Vec::new(), plan: BuildPlan::default() }
    }
}

/// What the modules of one phase have in common.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) config: &'a Config,
    pub(crate) root: &'a Root,
    /// The run image's target, completed.
    pub(crate) target: &'a Target,
}

/// Why a module broke.
#[derive(Debug, thiserror::Error)]
enum Breakage {
    #[error(transparent)]
    Fs(#[from] FsError),
    #[error(transparent)]
    Toml(#[from] TomlFileError),
    #[error("failed to start `{program}`")]
    Start {
        program: GuestPath,
        #[source]
        source: io::Error,
    },
    #[error("ended by signal {0}")]
    Signal(i32),
    #[error(
        "{kind} {id} has a \"version\" key which is not supported. \"metadata.version\" should be used instead"
    )]
    TopLevelVersion { kind: ModuleKind, id: String },
    #[error("extension {0} outputs \"requires\" which is not allowed")]
    ExtensionRequires(String),
}

/// Runs detection of all `modules`, several at once, and returns their outcomes in order.
pub(crate) fn detect_all(
    shared: &Shared<'_>,
    run: &dyn Run,
    modules: &[(&Module, BuildpackApi)],
) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(modules.iter().map(|_| None).collect());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((module, api)) = modules.get(at) else { return };
            let outcome = detect_one(shared, run, module, *api);
            if let Ok(mut all) = outcomes.lock() {
                all[at] = Some(outcome);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..shared.config.threads.get().min(modules.len()) {
            scope.spawn(work);
        }
        work();
    });
    let outcomes = outcomes.into_inner().unwrap_or_default();
    let lost = || Outcome::not_run(Verdict::Broken("detection was interrupted".to_owned()));
    outcomes.into_iter().map(|o| o.unwrap_or_else(lost)).collect()
}

fn detect_one(shared: &Shared<'_>, run: &dyn Run, module: &Module, api: BuildpackApi) -> Outcome {
    let mut output = Capture::default();
    let found = run_detect(shared, run, module, api, &mut output);
    let (verdict, plan) = match found {
        Ok((Exit::Code(PASS), plan)) => match check_plan(module, &plan) {
            Ok(()) => (Verdict::Passed, plan),
            Err(breakage) => (Verdict::Broken(with_causes(&breakage)), BuildPlan::default()),
        },
        Ok((Exit::Code(FAIL), _)) => (Verdict::Failed, BuildPlan::default()),
        Ok((Exit::Code(code), _)) => (Verdict::Code(code), BuildPlan::default()),
        Ok((Exit::Signal(signal), _)) => {
            (Verdict::Broken(with_causes(&Breakage::Signal(signal))), BuildPlan::default())
        }
        Err(breakage) => (Verdict::Broken(with_causes(&breakage)), BuildPlan::default()),
    };
    Outcome { verdict, output: output.finish(), plan }
}

fn run_detect(
    shared: &Shared<'_>,
    run: &dyn Run,
    module: &Module,
    api: BuildpackApi,
    output: &mut Capture,
) -> Result<(Exit, BuildPlan), Breakage> {
    let Shared { config, root, .. } = shared;
    let program = module.dir.join("bin/detect");
    if module.kind == ModuleKind::Extension && root.symlink_metadata(&program)?.is_none() {
        let plan = toml_file::read_if_exists(root, &module.dir.join("detect/plan.toml"))?;
        return Ok((Exit::Code(PASS), plan.unwrap_or_default()));
    }
    let scratch = Scratch::create(root, &config.scratch, "plan")?;
    let plan = scratch.path().join("plan.toml");
    root.write(&plan, b"", 0o600)?;
    let invocation = Invocation {
        program: program.clone(),
        args: vec![config.platform.as_os_str().into(), plan.as_os_str().into()],
        env: environment(shared, module, api, &plan)?,
        cwd: config.app.clone(),
    };
    let exit = run.run(&invocation, &mut |bytes| output.push(bytes));
    let exit = exit.map_err(|source| Breakage::Start { program, source })?;
    let plan = if exit.success() { toml_file::read(root, &plan)? } else { BuildPlan::default() };
    Ok((exit, plan))
}

fn environment(
    shared: &Shared<'_>,
    module: &Module,
    api: BuildpackApi,
    plan: &GuestPath,
) -> Result<Env, FsError> {
    let config = shared.config;
    let mut env = variables::inherited(&config.env);
    let platform = (!module.info.clear_env).then_some(&config.platform);
    Overrides { platform, build_config: &config.build_config }.apply(shared.root, &mut env)?;
    let directory = match module.kind {
        ModuleKind::Buildpack => "CNB_BUILDPACK_DIR",
        ModuleKind::Extension => "CNB_EXTENSION_DIR",
    };
    env.insert(directory.into(), module.dir.as_os_str().into());
    if api.has_path_variables() {
        env.insert("CNB_PLATFORM_DIR".into(), config.platform.as_os_str().into());
        env.insert("CNB_BUILD_PLAN_PATH".into(), plan.as_os_str().into());
    }
    if api.has_targets() {
        variables::set_target(&mut env, shared.target);
    }
    if api.has_exec_env() && !config.exec_env.as_str().is_empty() {
        env.insert("CNB_EXEC_ENV".into(), config.exec_env.as_str().into());
    }
    Ok(env)
}

fn check_plan(module: &Module, plan: &BuildPlan) -> Result<(), Breakage> {
    let mut requires =
        plan.requires.iter().chain(plan.alternatives.iter().flat_map(|a| &a.requires)).peekable();
    if module.kind == ModuleKind::Extension && requires.peek().is_some() {
        return Err(Breakage::ExtensionRequires(module.id.to_string()));
    }
    if requires.any(|r| !r.version.is_empty()) {
        return Err(Breakage::TopLevelVersion { kind: module.kind, id: module.id.to_string() });
    }
    Ok(())
}

/// Output up to a limit, and a note when there was more.
#[derive(Debug, Default)]
struct Capture {
    bytes: Vec<u8>,
    cut: bool,
}

impl Capture {
    fn push(&mut self, bytes: &[u8]) {
        let room = OUTPUT_LIMIT - self.bytes.len();
        self.cut |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.cut {
            self.bytes.extend_from_slice(b"\n[the rest of the output, beyond 16 MiB, is left out]\n");
        }
        self.bytes
    }
}

/// Returns an error with its causes, as one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_beyond_the_limit_is_left_out_with_a_note() {
        let mut capture = Capture::default();
        capture.push(&vec![b'a'; OUTPUT_LIMIT - 1]);
        capture.push(b"bcd");
        capture.push(b"e");
        let found = capture.finish();
        assert_eq!(&found[OUTPUT_LIMIT - 2..OUTPUT_LIMIT], b"ab");
        assert!(found.ends_with(b"is left out]\n") && found.len() < OUTPUT_LIMIT + 100);
        let mut whole = Capture::default();
        whole.push(b"x");
        assert_eq!(whole.finish(), b"x");
    }
}
