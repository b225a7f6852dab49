//! Language tools outside the directories that every build sees, found by asking the tools themselves.
//!
//! Version managers put a shim on the PATH; the shim, run as the user runs it, answers with the place of the
//! tool that it stands for. Each place is mounted read-only, one by one; a home directory never is.

mod ask;
mod cache;
mod place;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnb_fs::{GuestPath, HostPath};

use ask::{Stream, Tool};
use place::{Place, Places};

/// What to ask, and where answers are kept.
#[derive(Clone, Copy, Debug)]
pub struct ToolchainConfig<'a> {
    /// The user's environment: the tools are run with all of it.
    pub env: &'a BTreeMap<OsString, OsString>,
    /// The user's home directory: never mounted, nor anything above it.
    pub home: &'a HostPath,
    /// The file that keeps the answers, so that the usual build runs no tool.
    pub cache: Option<&'a Path>,
    /// How long one tool may take to answer.
    pub timeout: Duration,
}

/// The time one tool gets to answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// What the build sees of the user's toolchains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toolchains {
    /// What is mounted, sorted by guest path; outer before inner.
    pub mounts: Vec<ReadOnlyMount>,
    /// What goes to the front of the build's PATH, in the order of the user's own PATH.
    pub path_dirs: Vec<GuestPath>,
    /// Variables that point at the toolchains: `JAVA_HOME`.
    pub env: BTreeMap<String, String>,
}

/// A file or directory of the host, as the build sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadOnlyMount {
    /// Where it appears: at its own path.
    pub guest: GuestPath,
    /// What it is, links resolved.
    pub host: HostPath,
}

/// Something worth a line with `--verbose`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolchainNote {
    /// A tool gave no usable answer, and is left out.
    #[error("`{}` is left out of the build: {reason}", program.display())]
    LeftOut {
        /// The tool, as found on the PATH.
        program: PathBuf,
        /// Why.
        reason: String,
    },
    /// The answers could not be kept; the next build asks again.
    #[error("failed to keep what the toolchains answered: {0}")]
    NotKept(String),
}

/// The tools that are asked.
const TOOLS: [Tool; 6] = [
    Tool {
        program: "go",
        args: &["env", "GOROOT"],
        // Without it the tool would answer with a toolchain that belongs to some project.
        env: &[("GOTOOLCHAIN", "local")],
        stream: Stream::Out,
        home_variable: "GOROOT",
        read: ask::whole,
    },
    Tool {
        program: "rustc",
        args: &["--print", "sysroot"],
        env: &[],
        stream: Stream::Out,
        home_variable: "",
        read: ask::whole,
    },
    Tool {
        program: "node",
        args: &["-p", "process.execPath"],
        env: &[("NODE_OPTIONS", "")],
        stream: Stream::Out,
        home_variable: "",
        read: ask::prefix_of_program,
    },
    Tool {
        program: "python3",
        args: &["-I", "-c", "import sys; print(sys.base_prefix)"],
        env: &[],
        stream: Stream::Out,
        home_variable: "",
        read: ask::whole,
    },
    Tool {
        program: "python",
        args: &["-E", "-c", "import sys; print(getattr(sys, 'base_prefix', sys.prefix))"],
        env: &[],
        stream: Stream::Out,
        home_variable: "",
        read: ask::whole,
    },
    Tool {
        program: "java",
        args: &["-XshowSettings:properties", "-version"],
        env: &[],
        stream: Stream::Err,
        home_variable: "JAVA_HOME",
        read: ask::java_home,
    },
];

/// Finds the toolchains; a tool that does not answer is left out with a note.
pub fn find(config: &ToolchainConfig<'_>, notes: &dyn Fn(ToolchainNote)) -> Toolchains {
    let search = config.env.get(OsStr::new("PATH")).map(OsString::as_os_str).unwrap_or_default();
    let found: Vec<(&Tool, PathBuf)> =
        TOOLS.iter().filter_map(|tool| Some((tool, chosen(config, search, tool)?))).collect();
    let key = cache::key(config, found.iter().map(|(_, program)| program.as_path()));
    if let Some(kept) = config.cache.and_then(|file| cache::read(file, &key)) {
        return kept;
    }
    let places = Places::new(config.home);
    let (toolchains, complete) = ask_all(config, search, &found, &places, notes);
    // An answer that failed to come may come next time.
    if let (Some(file), true) = (config.cache, complete)
        && let Err(error) = cache::write(file, &key, &toolchains)
    {
        notes(ToolchainNote::NotKept(error));
    }
    toolchains
}

fn ask_all(
    config: &ToolchainConfig<'_>,
    search: &OsStr,
    found: &[(&Tool, PathBuf)],
    places: &Places,
    notes: &dyn Fn(ToolchainNote),
) -> (Toolchains, bool) {
    let answers: Vec<Result<Option<PathBuf>, ask::NoAnswer>> = std::thread::scope(|scope| {
        let running: Vec<_> =
            found.iter().map(|(tool, program)| scope.spawn(|| answer(config, tool, program))).collect();
        running.into_iter().map(|thread| thread.join().unwrap_or(Err(ask::NoAnswer::Unusable))).collect()
    });
    let mut toolchains = Toolchains::default();
    let mut complete = true;
    // Where each tool stands on the user's PATH decides whose directory comes first.
    let mut ranked: Vec<(usize, GuestPath)> = Vec::new();
    for ((tool, program), answer) in found.iter().zip(answers) {
        let home = match answer {
            Ok(Some(home)) => home,
            Ok(None) => continue,
            Err(error) => {
                complete &= !error.may_pass();
                notes(ToolchainNote::LeftOut { program: program.clone(), reason: error.to_string() });
                continue;
            }
        };
        let java = tool.program == "java";
        match places.judge(&home) {
            Place::Visible => {
                if java && config.env.contains_key(OsStr::new("JAVA_HOME")) {
                    set_java_home(&mut toolchains, &home);
                }
            }
            Place::Mounts(mounts) => {
                let bin = mounts.home.join("bin");
                ranked.push((rank(search, program), bin));
                if java {
                    set_java_home(&mut toolchains, mounts.home.as_guest());
                }
                for sibling in place::siblings(mounts.home.as_guest(), tool.program) {
                    if let Place::Mounts(other) = places.judge(&sibling) {
                        toolchains.mounts.extend(other.all);
                    }
                }
                toolchains.mounts.extend(mounts.all);
            }
            Place::Private(reason) => match place::single(&home, tool.program, program) {
                Some(mount) => {
                    let dir = mount.guest.parent().unwrap_or_else(|| GuestPath::new("/"));
                    ranked.push((rank(search, program), dir));
                    toolchains.mounts.push(mount);
                }
                None => notes(ToolchainNote::LeftOut { program: program.clone(), reason }),
            },
        }
    }
    ranked.sort();
    for (_, dir) in ranked {
        if !toolchains.path_dirs.contains(&dir) {
            toolchains.path_dirs.push(dir);
        }
    }
    toolchains.mounts.sort();
    toolchains.mounts.dedup();
    (toolchains, complete)
}

/// Returns where a tool lives; `None` when the build sees it already.
fn answer(
    config: &ToolchainConfig<'_>,
    tool: &Tool,
    program: &Path,
) -> Result<Option<PathBuf>, ask::NoAnswer> {
    if !tool.home_variable.is_empty()
        && let Some(home) = config.env.get(OsStr::new(tool.home_variable))
        && Path::new(home).join("bin").join(tool.program).is_file()
    {
        return Ok(Some(PathBuf::from(home)));
    }
    if place::is_visible_program(program) {
        return Ok(None);
    }
    ask::ask(tool, program, config.env, config.timeout).map(Some)
}

fn set_java_home(toolchains: &mut Toolchains, home: &Path) {
    if let Some(home) = home.to_str() {
        toolchains.env.insert("JAVA_HOME".to_owned(), home.to_owned());
    }
}

/// Returns the program to ask: of the PATH, else of the place that the user's own variable names.
fn chosen(config: &ToolchainConfig<'_>, search: &OsStr, tool: &Tool) -> Option<PathBuf> {
    program(search, tool.program).or_else(|| {
        let home = config.env.get(OsStr::new(tool.home_variable))?;
        program(Path::new(home).join("bin").as_os_str(), tool.program)
    })
}

/// Returns the first executable file of that name on a PATH; relative entries are skipped.
fn program(search: &OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(search)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|path| fs_err::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0))
}

fn rank(search: &OsStr, program: &Path) -> usize {
    let dir = program.parent().map(|d| d.as_os_str().as_bytes());
    let position = std::env::split_paths(search).position(|d| Some(d.as_os_str().as_bytes()) == dir);
    position.unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
