//! What detection and generation tell while they run, with the Go lifecycle's words (requirements H10 to H13).

use std::fmt;

use cnb_spec::target::ModuleTarget;

/// Something that happened.
///
/// `Display` gives the line that the lifecycle prints, but for [`Event::Output`] and [`Event::Generating`],
/// whose bytes are shown as they are.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The run image says nothing of its distribution, so the build container is asked.
    ReadingOsRelease,
    /// A target is compared with the run image's.
    CheckingTarget(ModuleTarget),
    /// A module does not support this execution environment and is passed over.
    OtherExecEnv {
        /// `id@version`.
        module: String,
        /// The environment of this build.
        current: String,
        /// What it supports.
        supported: Vec<String>,
    },
    /// What `bin/detect` printed.
    Output {
        /// `id@version`.
        module: String,
        /// The bytes.
        text: Vec<u8>,
        /// Whether it neither passed nor failed, but broke.
        broken: bool,
    },
    /// Why detection of a module broke.
    Broken {
        /// `id@version`.
        module: String,
        /// The reason.
        reason: String,
    },
    /// The results of a group follow.
    Results,
    /// A module passed.
    Passed(String),
    /// An optional module did not pass.
    Skipped(String),
    /// A required module did not pass.
    Failed(String),
    /// A module broke, with its exit code if it had one.
    Err(String, Option<i32>),
    /// No buildpack is left.
    NoViableBuildpacks,
    /// This many combinations of plans did not fit; the rest is not tried.
    TooManyPlans(u64),
    /// A combination of plans is tried; counted from 1.
    Resolving(u64),
    /// A plan does not fit.
    Unfit {
        /// `id@version`.
        module: String,
        /// Whether it requires the name, or provides it in vain.
        requires: bool,
        /// The name.
        name: String,
        /// Whether the module is optional and is left out, or the combination fails.
        skipped: bool,
    },
    /// Only some of the group take part.
    Participating {
        /// How many do.
        part: usize,
        /// Of how many.
        of: usize,
    },
    /// A module takes part.
    Participant {
        /// Its ID.
        id: String,
        /// Its version.
        version: String,
        /// The width of the column of IDs.
        width: usize,
    },
    /// An extension's `bin/generate` printed this.
    Generating(Vec<u8>),
    /// A Dockerfile has an instruction that is not recommended.
    NotRecommended {
        /// `build.Dockerfile` or `run.Dockerfile`.
        file: &'static str,
        /// The instruction in upper case.
        command: String,
        /// Its line.
        line: usize,
    },
    /// An extension switches to a run image that the platform does not list.
    UnlistedRunImage(String),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadingOsRelease => {
                f.write_str("target distro name/version labels not found, reading /etc/os-release file")
            }
            Self::CheckingTarget(t) => {
                write!(
                    f,
                    "Checking for match against descriptor: {{{} {} {} [",
                    t.os, t.arch, t.arch_variant
                )?;
                for (i, d) in t.distros.iter().enumerate() {
                    write!(f, "{}{{{} {}}}", if i > 0 { " " } else { "" }, d.name, d.version)?;
                }
                f.write_str("]}")
            }
            Self::OtherExecEnv { module, current, supported } => write!(
                f,
                "Skipping {module} due to execution environment mismatch; current: {current}, buildpack supports: [{}]",
                supported.join(" ")
            ),
            Self::Output { module, .. } => write!(f, "======== Output: {module} ========"),
            Self::Broken { module, reason } => write!(f, "======== Error: {module} ========\n{reason}"),
            Self::Results => f.write_str("======== Results ========"),
            Self::Passed(module) => write!(f, "pass: {module}"),
            Self::Skipped(module) => write!(f, "skip: {module}"),
            Self::Failed(module) => write!(f, "fail: {module}"),
            Self::Err(module, None) => write!(f, "err:  {module}"),
            Self::Err(module, Some(code)) => write!(f, "err:  {module} ({code})"),
            Self::NoViableBuildpacks => f.write_str("fail: no viable buildpacks in group"),
            Self::TooManyPlans(count) => {
                write!(f, "fail: none of the first {count} combinations of plans fits")
            }
            Self::Resolving(count) => write!(f, "Resolving plan... (try #{count})"),
            Self::Unfit { module, requires, name, skipped } => {
                let result = if *skipped { "skip" } else { "fail" };
                let verb = if *requires { "requires" } else { "provides unused" };
                write!(f, "{result}: {module} {verb} {name}")
            }
            Self::Participating { part, of } => write!(f, "{part} of {of} buildpacks participating"),
            Self::Participant { id, version, width } => write!(f, "{id:width$} {version}"),
            Self::Generating(_) => Ok(()),
            Self::NotRecommended { file, command, line } => {
                write!(f, "{file} command {command} on line {line} is not recommended")
            }
            Self::UnlistedRunImage(image) => {
                write!(f, "new runtime base image '{image}' not found in run metadata")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_go_lifecycle() {
        let unfit =
            |requires, skipped| Event::Unfit { module: "a@1".into(), requires, name: "x".into(), skipped };
        for (event, line) in [
            (Event::Err("a@1".into(), Some(7)), "err:  a@1 (7)"),
            (Event::Err("a@1".into(), None), "err:  a@1"),
            (unfit(true, false), "fail: a@1 requires x"),
            (unfit(false, true), "skip: a@1 provides unused x"),
            (Event::Participant { id: "é".into(), version: "1".into(), width: 4 }, "é    1"),
            (
                Event::CheckingTarget(ModuleTarget { os: "linux".into(), ..Default::default() }),
                "Checking for match against descriptor: {linux   []}",
            ),
        ] {
            assert_eq!(event.to_string(), line);
        }
    }
}
