//! What a build would do, found by detection alone.
//!
//! Nothing is built and no image is written: the source is copied, the sandbox started and `bin/detect` run as
//! [`Platform::build`] does it. Buildpacks can say what they intend in the metadata of an entry of the Build Plan that
//! they provide themselves; what they leave out stays empty here.

use std::cell::RefCell;
use std::collections::BTreeMap;

use cnb_detector::{Detected, Event as Told};
use cnb_fs::FsError;
use cnb_lifecycle::analyze::{Seen, analyze};
use cnb_spec::platform::group_toml::GroupElement;
use cnb_spec::platform::plan_toml::Provider;
use cnb_spec::value;
use serde::{Deserialize, Serialize};

use crate::build::{API, Known, Session, in_phase};
use crate::modules::Modules;
use crate::run::RunDir;
use crate::{
    BuildRequest, Cancel, Events, Failure, FailureKind, Phase, Platform, base, binding, check, explain,
    parts, project,
};

/// What a build would do; `cnb plan --json` prints it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BuildPlan {
    /// The application's folder.
    pub app: String,
    /// The run image that the app would stand on.
    pub run_image: String,
    /// The buildpacks that would take part, in the order of their builds.
    pub buildpacks: Vec<PlannedBuildpack>,
    /// Those that were asked and do not take part.
    pub passed_over: Vec<PassedOver>,
    /// Those that were not asked, since a group in front of theirs matched: `id@version`.
    pub not_tried: Vec<String>,
    /// What the image would start, by process type; of two buildpacks with the same type the later one counts.
    pub processes: BTreeMap<String, PlannedProcess>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
}

/// A buildpack that would take part.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlannedBuildpack {
    /// Its ID.
    pub id: String,
    /// Its version.
    pub version: String,
    /// What it says of itself; empty where it says nothing.
    #[serde(flatten)]
    pub intent: PlannedIntent,
    /// What it would provide to itself and others, with who wants what of it.
    pub entries: Vec<PlannedEntry>,
}

/// What a buildpack says that it would do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlannedIntent {
    /// Why it is for this application.
    pub because: String,
    /// The versions it would use, and where each is asked for.
    pub versions: Vec<PlannedVersion>,
    /// The commands it would run.
    pub commands: Vec<String>,
    /// What the image would start, by process type.
    pub processes: BTreeMap<String, String>,
}

/// A version that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedVersion {
    /// Of what.
    pub of: String,
    /// The version or range.
    pub version: String,
    /// The file or variable that it is from.
    pub source: String,
}

/// An entry of the Build Plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedEntry {
    /// The name of the dependency.
    pub name: String,
    /// What is wished of it; an object that is empty for most.
    pub metadata: serde_json::Value,
}

/// A buildpack that was asked and does not take part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// `id@version`.
    pub buildpack: String,
    /// Why, as far as it said.
    pub reason: String,
}

/// What the image would start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedProcess {
    /// Its command.
    pub command: String,
    /// The buildpack that it is from: `id@version`.
    pub buildpack: String,
}

impl Platform {
    /// Tells what [`build`](Self::build) would do with `request`: the same detection, and nothing after it.
    ///
    /// # Errors
    /// Those of a build up to and including detection.
    pub fn plan(
        &self,
        request: &BuildRequest,
        events: Events<'_>,
        cancel: &Cancel,
    ) -> Result<BuildPlan, Failure> {
        binding::masked(&request.bindings, events, |events| {
            self.session(request, events, cancel, Session::plan)
        })
    }
}

impl Session<'_> {
    fn plan(&self) -> Result<BuildPlan, Failure> {
        check::check(self.request)?;
        let project = project::read(self.request)?;
        for warning in &project.warnings {
            self.warn(warning);
        }
        let prepare = |e: FsError| Failure::new(FailureKind::Other, "failed to prepare the plan").because(e);
        let parts = parts::unpack(&self.platform.home.parts()).map_err(prepare)?;
        let known = self.phase(Phase::Analyze, || self.analyze_base())?;
        // A folder of its own: a plan waits for no build of the same name, and has nothing to do with its cache.
        let folder = RunDir::create(&self.platform.home).map_err(prepare)?;
        let (world, modules) = self.enter(&folder.0, &parts, &project, &[])?;
        let heard = RefCell::new(Heard::default());
        let hear = |event: Told| {
            heard.borrow_mut().hear(&event);
            self.detect_event(&event);
        };
        let detected = self.phase(Phase::Detect, || self.detect(&world, &modules, &known, &hear));
        // Before the folders go, nothing may be mounted any more.
        self.cancel.detach();
        drop(world);
        let mut plan = resolved(&detected?, &heard.into_inner(), &modules);
        plan.app = self.request.app.to_string();
        plan.run_image = known.base.name;
        plan.warnings = self.warned();
        Ok(plan)
    }

    /// Analysis without a previous image and without places to write to: a plan has neither.
    fn analyze_base(&self) -> Result<Known, Failure> {
        let store = self.platform.store()?;
        let making = store.session(|| self.info("waiting for a clean-up of the image store"));
        let making = making.map_err(in_phase(Phase::Analyze, "failed to use the image store"))?;
        let base = base::choose(self, &store)?;
        let seen = Seen::new(&base.name, &base.reference, base.image.config());
        let analyzed =
            analyze(API, None, &seen).map_err(in_phase(Phase::Analyze, "failed to analyze the run image"))?;
        Ok(Known { store, making, previous: None, base, analyzed })
    }
}

/// What detection told of each buildpack.
#[derive(Debug, Default)]
struct Heard {
    /// What it printed, by `id@version`.
    output: BTreeMap<String, Vec<u8>>,
    /// Why it does not take part, in the order in which that was found.
    reasons: Vec<(String, String)>,
    passed: Vec<String>,
}

impl Heard {
    fn hear(&mut self, event: &Told) {
        let (module, reason) = match event {
            Told::Output { module, text, .. } => {
                self.output.insert(module.clone(), text.clone());
                return;
            }
            Told::Passed(module) => return self.passed.push(module.clone()),
            Told::Skipped(module) | Told::Failed(module) => (module, String::new()),
            Told::Err(module, None) => (module, "broke".to_owned()),
            Told::Err(module, Some(code)) => (module, format!("failed with exit code {code}")),
            Told::Unfit { module, requires: true, name, .. } => {
                (module, format!("requires `{name}`, which no buildpack provides"))
            }
            Told::Unfit { module, requires: false, name, .. } => {
                (module, format!("provides `{name}`, which no buildpack requires"))
            }
            Told::OtherExecEnv { module, current, supported } => {
                (module, format!("is for {}, not for {current}", supported.join(", ")))
            }
            _ => return,
        };
        if !self.reasons.iter().any(|(known, _)| known == module) {
            self.reasons.push((module.clone(), reason));
        }
    }

    fn passed_over(&self, taking_part: &[String]) -> Vec<PassedOver> {
        let reason = |(buildpack, reason): &(String, String)| {
            let said = self.output.get(buildpack).map(|text| explain::last_lines(text)).unwrap_or_default();
            let reason = match (reason.as_str(), said.is_empty()) {
                ("", true) => "does not apply".to_owned(),
                ("", false) => said.join("\n"),
                (reason, true) => reason.to_owned(),
                (reason, false) => format!("{reason}\n{}", said.join("\n")),
            };
            PassedOver { buildpack: buildpack.clone(), reason }
        };
        let mut found: Vec<PassedOver> =
            self.reasons.iter().filter(|(b, _)| !taking_part.contains(b)).map(reason).collect();
        for buildpack in &self.passed {
            if !taking_part.contains(buildpack) && !found.iter().any(|p| p.buildpack == *buildpack) {
                let reason = "applies, but its group does not".to_owned();
                found.push(PassedOver { buildpack: buildpack.clone(), reason });
            }
        }
        found
    }
}

/// Puts together what detection decided and what it told on the way.
fn resolved(detected: &Detected, heard: &Heard, modules: &Modules) -> BuildPlan {
    let buildpacks: Vec<_> = detected.group.group.iter().map(|element| planned(element, detected)).collect();
    let taking_part: Vec<String> = detected.group.group.iter().map(ToString::to_string).collect();
    let mut processes = BTreeMap::new();
    for (buildpack, name) in buildpacks.iter().zip(&taking_part) {
        for (process, command) in &buildpack.intent.processes {
            let planned = PlannedProcess { command: command.clone(), buildpack: name.clone() };
            processes.insert(process.clone(), planned);
        }
    }
    let passed_over = heard.passed_over(&taking_part);
    let asked =
        |name: &String| heard.passed.contains(name) || heard.reasons.iter().any(|(known, _)| known == name);
    let mut not_tried: Vec<String> = Vec::new();
    for entry in modules.order.order.iter().flat_map(|group| &group.group) {
        let name = format!("{}@{}", entry.id, entry.version);
        if !asked(&name) && !taking_part.contains(&name) && !not_tried.contains(&name) {
            not_tried.push(name);
        }
    }
    BuildPlan { buildpacks, passed_over, not_tried, processes, ..BuildPlan::default() }
}

fn planned(element: &GroupElement, detected: &Detected) -> PlannedBuildpack {
    let mut planned = PlannedBuildpack {
        id: element.id.to_string(),
        version: element.version.clone(),
        ..PlannedBuildpack::default()
    };
    let provides = |p: &Provider| !p.extension && p.id == element.id;
    for entry in detected.plan.entries.iter().filter(|e| e.providers.iter().any(provides)) {
        // Only the first that provides something is asked to; the others merely could.
        let is_first = entry.providers.first().is_some_and(provides);
        for require in &entry.requires {
            // Metadata of others may have any shape, so that what is no intent is no error.
            let says = is_first && require.metadata.contains_key("because");
            let intent = says.then(|| require.metadata.clone().try_into().ok()).flatten();
            if let Some(intent) = intent {
                planned.intent = intent;
            } else {
                planned.entries.push(PlannedEntry {
                    name: require.name.clone(),
                    metadata: value::table_to_json(&require.metadata),
                });
            }
        }
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Modules;

    fn heard(events: impl IntoIterator<Item = Told>) -> Heard {
        let mut heard = Heard::default();
        events.into_iter().for_each(|event| heard.hear(&event));
        heard
    }

    fn output(module: &str, text: &str) -> Told {
        Told::Output { module: module.into(), text: text.into(), broken: false }
    }

    #[test]
    fn a_buildpack_that_does_not_apply_says_why_in_its_own_words() {
        let heard = heard([
            output("node@1", "would need: a `package.json`\n"),
            Told::Failed("node@1".into()),
            Told::Skipped("quiet@1".into()),
            Told::Err("broken@1".into(), Some(7)),
            Told::Passed("go@1".into()),
            Told::Skipped("go@1".into()),
            Told::Passed("lonely@1".into()),
        ]);
        let found = heard.passed_over(&["go@1".to_owned()]);
        let reasons: Vec<_> = found.iter().map(|p| (&*p.buildpack, &*p.reason)).collect();
        let expected = [
            ("node@1", "would need: a `package.json`"),
            ("quiet@1", "does not apply"),
            ("broken@1", "failed with exit code 7"),
            ("lonely@1", "applies, but its group does not"),
        ];
        assert_eq!(reasons, expected);
    }

    #[test]
    fn an_intent_is_told_from_what_others_put_into_the_plan() {
        let detected = Detected {
            group: toml::from_str("[[group]]\nid = 'a'\nversion = '1'\n[[group]]\nid = 'b'\nversion = '2'").unwrap(),
            plan: toml::from_str(
                "[[entries]]\n[[entries.providers]]\nid = 'a'\nversion = '1'\n[[entries.requires]]\nname = 'a'\n\
                 [entries.requires.metadata]\nbecause = 'x'\nprocesses = { web = 'serve' }\n\
                 [[entries.requires]]\nname = 'a'\n[entries.requires.metadata]\nlaunch = true\n\
                 [[entries]]\n[[entries.providers]]\nid = 'b'\nversion = '2'\n[[entries.requires]]\nname = 'b'\n\
                 [entries.requires.metadata]\nbecause = 7",
            )
            .unwrap(),
        };
        let order = "[[order]]\n[[order.group]]\nid = 'a'\nversion = '1'\n[[order]]\n[[order.group]]\nid = 'c'\nversion = '3'";
        let modules = Modules { order: toml::from_str(order).unwrap(), mounts: Vec::new() };
        let plan = resolved(&detected, &heard([]), &modules);
        assert_eq!(plan.buildpacks[0].intent.because, "x");
        assert_eq!(plan.buildpacks[0].entries[0].metadata, serde_json::json!({"launch": true}));
        // What merely looks like one stays an entry of the plan.
        assert_eq!(plan.buildpacks[1].entries[0].name, "b");
        assert_eq!(
            plan.processes["web"],
            PlannedProcess { command: "serve".into(), buildpack: "a@1".into() }
        );
        assert_eq!(plan.not_tried, ["c@3"]);
    }
}
