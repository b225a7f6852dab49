//! A group whose modules have all been detected: does it pass, and with which plan (requirements C35 to C37,
//! H11 to H13).

use std::collections::HashMap;
use std::sync::Arc;

use cnb_spec::id::ModuleKind;
use cnb_spec::platform::group_toml::{Group, GroupElement};
use cnb_spec::platform::plan_toml::{Plan, PlanEntry, Provider};

use crate::order::Chosen;
use crate::run::{Outcome, Verdict};
use crate::trial::{self, Alternative, Candidate, Mismatch, Resolved, Step};
use crate::{Detected, Event};

/// Why a group did not pass.
pub(crate) struct Unresolved {
    /// Whether a module broke.
    pub(crate) broke: bool,
    /// What did not fit in the first combination of plans.
    pub(crate) misfits: Vec<String>,
}

type Detection = (Chosen, Arc<Outcome>);

/// Decides about a group.
pub(crate) fn resolve_group(group: &[Detection], events: &dyn Fn(Event)) -> Result<Detected, Unresolved> {
    tell_output(group, events);
    events(Event::Results);
    let passed = results(group, events)?;
    let candidates: Vec<Candidate> = passed.iter().map(|d| candidate(d)).collect();
    let mut first_misfits = Vec::new();
    let mut tries = 0;
    let resolved = trial::resolve(&candidates, &mut |step| {
        let (mismatch, skipped) = match step {
            Step::Try(count) => {
                tries = count;
                return events(Event::Resolving(count));
            }
            Step::Nobody => return events(Event::NoViableBuildpacks),
            Step::GaveUp => return events(Event::TooManyPlans(trial::TRY_LIMIT)),
            Step::Fail(mismatch) => (mismatch, false),
            Step::Skip(mismatch) => (mismatch, true),
        };
        let module = passed[mismatch.candidate()].0.module.to_string();
        let (requires, name) = match mismatch {
            Mismatch::Requires { name, .. } => (true, name),
            Mismatch::ProvidesUnused { name, .. } => (false, name),
        };
        if tries == 1 {
            let verb = if requires { "requires" } else { "provides unused" };
            first_misfits.push(format!("{module} {verb} {name}"));
        }
        events(Event::Unfit { module, requires, name, skipped });
    });
    let resolved = resolved.ok_or(Unresolved { broke: false, misfits: first_misfits })?;
    tell_participants(&passed, &resolved, group.len(), events);
    Ok(detected(&passed, &resolved))
}

fn tell_output(group: &[Detection], events: &dyn Fn(Event)) {
    for (chosen, outcome) in group {
        let module = chosen.module.to_string();
        let broken = outcome.verdict.is_broken(chosen.optional);
        if !outcome.output.is_empty() {
            events(Event::Output { module: module.clone(), text: outcome.output.clone(), broken });
        }
        if let Verdict::Broken(reason) | Verdict::WrongTarget(reason) = &outcome.verdict
            && broken
        {
            events(Event::Broken { module, reason: reason.clone() });
        }
    }
}

/// Tells each result; returns who passed, or why the group did not.
fn results<'g>(group: &'g [Detection], events: &dyn Fn(Event)) -> Result<Vec<&'g Detection>, Unresolved> {
    let (mut passed, mut failed, mut broke, mut any_buildpack) = (Vec::new(), false, false, false);
    for detection in group {
        let (chosen, outcome) = detection;
        let module = chosen.module.to_string();
        let is_broken = outcome.verdict.is_broken(chosen.optional);
        match &outcome.verdict {
            Verdict::Passed => {
                events(Event::Passed(module));
                any_buildpack |= chosen.module.kind == ModuleKind::Buildpack;
                passed.push(detection);
                continue;
            }
            Verdict::Code(code) => events(Event::Err(module, Some(*code))),
            _ if is_broken => events(Event::Err(module, None)),
            _ if chosen.optional => events(Event::Skipped(module)),
            _ => events(Event::Failed(module)),
        }
        broke |= is_broken;
        failed |= !chosen.optional;
    }
    if failed {
        return Err(Unresolved { broke, misfits: Vec::new() });
    }
    if !any_buildpack {
        events(Event::NoViableBuildpacks);
        return Err(Unresolved { broke: false, misfits: Vec::new() });
    }
    Ok(passed)
}

fn candidate((chosen, outcome): &Detection) -> Candidate {
    let alternatives = outcome.plan.all_alternatives().into_iter().map(|a| Alternative {
        provides: a.provides.into_iter().map(|p| p.name).collect(),
        requires: a.requires.into_iter().map(|r| r.name).collect(),
    });
    Candidate { optional: chosen.optional, alternatives: alternatives.collect() }
}

fn tell_participants(passed: &[&Detection], resolved: &Resolved, of: usize, events: &dyn Fn(Event)) {
    let part = resolved.participants.len();
    if part != of {
        events(Event::Participating { part, of });
    }
    let modules = || resolved.participants.iter().map(|(candidate, _)| &passed[*candidate].0.module);
    let width = modules().map(|m| m.id.as_str().len()).max().unwrap_or(0);
    for module in modules() {
        events(Event::Participant { id: module.id.to_string(), version: module.version.clone(), width });
    }
}

fn detected(passed: &[&Detection], resolved: &Resolved) -> Detected {
    let mut group = Group::default();
    for (candidate, _) in &resolved.participants {
        let module = &passed[*candidate].0.module;
        let element = GroupElement {
            id: module.id.clone(),
            version: module.version.clone(),
            api: module.api.clone(),
            homepage: module.info.homepage.clone(),
        };
        match module.kind {
            ModuleKind::Buildpack => group.group.push(element),
            ModuleKind::Extension => group.group_extensions.push(element),
        }
    }
    let provider = |candidate: &usize| {
        let module = &passed[*candidate].0.module;
        let extension = module.kind == ModuleKind::Extension;
        Provider { id: module.id.clone(), version: module.version.clone(), extension }
    };
    let chosen: HashMap<usize, _> = resolved
        .participants
        .iter()
        .filter_map(|(c, alternative)| {
            Some((*c, passed[*c].1.plan.all_alternatives().into_iter().nth(*alternative)?))
        })
        .collect();
    let require = |(candidate, index): &(usize, usize)| {
        chosen.get(candidate).and_then(|a| a.requires.get(*index)).cloned().unwrap_or_default()
    };
    let entries = resolved.entries.iter().map(|entry| PlanEntry {
        providers: entry.providers.iter().map(provider).collect(),
        requires: entry.requires.iter().map(require).collect(),
    });
    Detected { group, plan: Plan { entries: entries.collect() } }
}
