//! The search through an order: which group is tried when (requirements B36 to B39, C31 to C45).
//!
//! A nested order stands for each of its groups in turn, with the rest of the outer group behind it. The
//! image extensions' order goes, as if it were an optional composite buildpack, in front of every group.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use cnb_dirs::base_target;
use cnb_dirs::store::{self, LookUpError, Module};
use cnb_fs::Root;
use cnb_sandbox::Run;
use cnb_spec::api::{ApiError, BuildpackApi};
use cnb_spec::fault;
use cnb_spec::id::{ModuleId, ModuleKind};
use cnb_spec::platform::order_toml::{OrderEntry, OrderGroup};
use cnb_spec::platform::system_toml::System;
use cnb_spec::target::Target;

use crate::run::{self, Outcome, Shared, Verdict};
use crate::{Config, DetectError, Detected, Event, TriedGroup, TriedModule, resolve};

/// The most composite buildpacks that are expanded for one group; beyond it nobody meant it.
const DEPTH_LIMIT: usize = 1000;

/// Puts the platform's buildpacks around every group, except those whose ID the group has (B36).
pub fn with_system_buildpacks(order: &[OrderGroup], system: &System) -> Vec<OrderGroup> {
    let around = |group: &OrderGroup| {
        let missing = |all: &[OrderEntry]| -> Vec<OrderEntry> {
            all.iter().filter(|s| group.group.iter().all(|g| g.id != s.id)).cloned().collect()
        };
        let (pre, post) = (missing(&system.pre.buildpacks), missing(&system.post.buildpacks));
        OrderGroup { group: [pre, group.group.clone(), post].concat() }
    };
    order.iter().map(around).collect()
}

/// Runs the search.
pub(crate) fn search(
    config: &Config,
    root: &Root,
    run: &dyn Run,
    events: &dyn Fn(Event),
) -> Result<Detected, DetectError> {
    let mut search = Search::new(config, root, run, events);
    let order = if config.platform_api.has_system_buildpacks() {
        with_system_buildpacks(&config.order.order, &config.system)
    } else {
        config.order.order.clone()
    };
    search.check_apis(&order, ModuleKind::Buildpack)?;
    search.check_apis(&config.order.order_extensions, ModuleKind::Extension)?;
    search.extensions = elements(&config.order.order_extensions, ModuleKind::Extension, None);
    let mut groups = elements(&order, ModuleKind::Buildpack, None);
    if !search.extensions.is_empty() {
        for group in &mut groups {
            group.insert(0, Element::Extensions);
        }
    }
    match search.run_through(groups) {
        Ok(detected) => Ok(detected),
        Err(Miss::Failed) => Err(DetectError::NothingPassed { tried: search.tried }),
        Err(Miss::Broke) => Err(DetectError::BuildpackBroke { tried: search.tried }),
        Err(Miss::Abort(error)) => Err(error),
    }
}

/// Why a group or an order gave nothing.
enum Miss {
    /// Something did not pass.
    Failed,
    /// Something broke.
    Broke,
    /// The search as a whole cannot go on.
    Abort(DetectError),
}

/// An order whose groups are being tried.
#[derive(Default)]
struct Open {
    /// The groups not tried yet.
    groups: std::vec::IntoIter<Vec<Element>>,
    /// What was chosen before the order.
    done: Vec<Chosen>,
    /// What stands behind the order.
    next: Vec<Element>,
    /// Whether the group can pass without the order.
    optional: bool,
    /// Whether one of its groups broke.
    broke: bool,
    /// How many composite buildpacks were expanded to get here.
    depth: usize,
}

/// What came of a group.
enum Tried {
    /// It passed, and so the search ends.
    Passed(Box<Detected>),
    /// It did not.
    Missed(Miss),
    /// An order in it stands for the rest of it.
    Order(Open),
}

/// Tells the order above that one of its groups gave nothing; without one, the search ends.
fn close(stack: &mut [Open], miss: Miss) -> Result<(), Miss> {
    match (stack.last_mut(), miss) {
        (_, Miss::Abort(error)) => return Err(Miss::Abort(error)),
        (None, miss) => return Err(miss),
        (Some(outer), Miss::Broke) => outer.broke = true,
        (Some(_), Miss::Failed) => {}
    }
    Ok(())
}

/// What stands in a group while it is searched.
#[derive(Clone)]
enum Element {
    /// The order of the image extensions.
    Extensions,
    /// A buildpack or an extension.
    Module { kind: ModuleKind, entry: Rc<OrderEntry>, within: Option<Rc<Within>> },
}

/// The composite buildpack that an element came from, and where that came from.
struct Within {
    id: ModuleId,
    version: String,
    outer: Option<Rc<Within>>,
}

fn elements(order: &[OrderGroup], kind: ModuleKind, within: Option<&Rc<Within>>) -> Vec<Vec<Element>> {
    let element = |entry: &OrderEntry| {
        let mut entry = entry.clone();
        // Extensions are always optional (requirement C36).
        entry.optional |= kind == ModuleKind::Extension;
        Element::Module { kind, entry: Rc::new(entry), within: within.cloned() }
    };
    order.iter().map(|group| group.group.iter().map(element).collect()).collect()
}

/// A module of the group being searched.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) module: Rc<Module>,
    pub(crate) optional: bool,
    /// Set for one that must not run.
    mismatch: Option<Arc<Outcome>>,
}

type Key = (ModuleKind, ModuleId, String);

struct Search<'a> {
    config: &'a Config,
    root: &'a Root,
    run: &'a dyn Run,
    events: &'a dyn Fn(Event),
    extensions: Vec<Vec<Element>>,
    modules: HashMap<Key, Rc<Module>>,
    outcomes: HashMap<Key, Arc<Outcome>>,
    target: Option<Target>,
    tried: Vec<TriedGroup>,
}

impl<'a> Search<'a> {
    fn new(config: &'a Config, root: &'a Root, run: &'a dyn Run, events: &'a dyn Fn(Event)) -> Self {
        let (modules, outcomes) = (HashMap::new(), HashMap::new());
        Self {
            config,
            root,
            run,
            events,
            extensions: Vec::new(),
            modules,
            outcomes,
            target: None,
            tried: Vec::new(),
        }
    }

    /// Checks the API of every top-level module before anything runs (requirement B37).
    fn check_apis(&mut self, order: &[OrderGroup], kind: ModuleKind) -> Result<(), DetectError> {
        for entry in order.iter().flat_map(|group| &group.group) {
            let module = self.module(kind, entry).map_err(|error| match error {
                LookUpError::Api(unsupported) => DetectError::Api(unsupported),
                other => DetectError::Order(other),
            })?;
            module.supported_api().map_err(DetectError::Api)?;
        }
        Ok(())
    }

    fn module(&mut self, kind: ModuleKind, entry: &OrderEntry) -> Result<Rc<Module>, LookUpError> {
        let key = (kind, entry.id.clone(), entry.version.clone());
        if let Some(module) = self.modules.get(&key) {
            return Ok(Rc::clone(module));
        }
        let all = match kind {
            ModuleKind::Buildpack => &self.config.buildpacks,
            ModuleKind::Extension => &self.config.extensions,
        };
        let module = Rc::new(store::look_up(self.root, all, kind, &entry.id, &entry.version)?);
        self.modules.insert(key, Rc::clone(&module));
        Ok(module)
    }

    /// Tries the groups of an order, and of the orders inside it, depth first.
    ///
    /// The stack is our own: how deep orders nest is up to others.
    fn run_through(&mut self, order: Vec<Vec<Element>>) -> Result<Detected, Miss> {
        let mut stack = vec![Open { groups: order.into_iter(), ..Open::default() }];
        while let Some(open) = stack.last_mut() {
            let (group, done, depth) = if let Some(group) = open.groups.next() {
                ([&group[..], &open.next].concat(), open.done.clone(), open.depth)
            } else {
                let Some(open) = stack.pop() else { break };
                if !open.optional {
                    close(&mut stack, if open.broke { Miss::Broke } else { Miss::Failed })?;
                    continue;
                }
                // What broke above does not count: the group without it decides (requirement J13).
                (open.next, open.done, open.depth)
            };
            match self.try_group(&group, done, depth)? {
                Tried::Passed(detected) => return Ok(*detected),
                Tried::Missed(miss) => close(&mut stack, miss)?,
                Tried::Order(inner) => stack.push(inner),
            }
        }
        Err(Miss::Failed)
    }

    /// Walks a group up to the first order in it, which stands for the rest; without one, decides about it.
    fn try_group(&mut self, group: &[Element], mut done: Vec<Chosen>, depth: usize) -> Result<Tried, Miss> {
        for (at, element) in group.iter().enumerate() {
            let next = || group[at + 1..].to_vec();
            let Element::Module { kind, entry, within } = element else {
                let groups = self.extensions.clone().into_iter();
                return Ok(Tried::Order(Open {
                    groups,
                    done,
                    next: next(),
                    optional: true,
                    depth,
                    ..Open::default()
                }));
            };
            if done.iter().any(|d| d.module.kind == *kind && d.module.id == entry.id)
                && !fault::is("duplicate-kept")
            {
                continue;
            }
            if self.config.platform_api.honours_exec_env() && !entry.exec_env.contains(&self.config.exec_env)
            {
                self.tell_other_exec_env(&format!("{}@{}", entry.id, entry.version), &entry.exec_env.names);
                continue;
            }
            let module = self.module(*kind, entry).map_err(|error| {
                Miss::Abort(match error {
                    LookUpError::Api(unsupported) => DetectError::Api(unsupported),
                    other => DetectError::Nested(other),
                })
            })?;
            if !module.order.is_empty() {
                let within = enter(&module, within.as_ref(), depth)?;
                let groups = elements(&module.order, ModuleKind::Buildpack, Some(&within)).into_iter();
                let optional = entry.optional;
                return Ok(Tried::Order(Open {
                    groups,
                    done,
                    next: next(),
                    optional,
                    depth: depth + 1,
                    ..Open::default()
                }));
            }
            if let Some(chosen) = self.choose(module, entry.optional)? {
                done.push(chosen);
            }
        }
        match self.decide(&done) {
            Ok(detected) => Ok(Tried::Passed(Box::new(detected))),
            Err(miss) => Ok(Tried::Missed(miss)),
        }
    }

    /// Decides whether a component takes part in the search: target, then execution environment (B43).
    fn choose(&mut self, module: Rc<Module>, optional: bool) -> Result<Option<Chosen>, Miss> {
        let api = api_of(&module)?;
        if self.config.platform_api.has_targets() && !module.targets.is_empty() {
            let base = self.target().clone();
            let accepts = |target: &&cnb_spec::target::ModuleTarget| {
                (self.events)(Event::CheckingTarget((*target).clone()));
                target.accepts(&base)
            };
            if !module.targets.iter().any(|t| accepts(&t)) {
                let reason = wrong_target::explain(&base, &module.targets);
                let mismatch = Some(Arc::new(Outcome::not_run(Verdict::WrongTarget(reason))))
                    .filter(|_| !fault::is("wrong-target-run"));
                return Ok(Some(Chosen { module, optional, mismatch }));
            }
        }
        let exec_env = &self.config.exec_env;
        let applies = !self.config.platform_api.honours_exec_env() || !api.has_exec_env();
        if applies || module.info.exec_env.contains(exec_env) {
            return Ok(Some(Chosen { module, optional, mismatch: None }));
        }
        self.tell_other_exec_env(&module.to_string(), &module.info.exec_env.names);
        Ok(None)
    }

    fn tell_other_exec_env(&self, module: &str, supported: &[String]) {
        (self.events)(Event::OtherExecEnv {
            module: module.to_owned(),
            current: self.config.exec_env.to_string(),
            supported: supported.to_vec(),
        });
    }

    /// Returns the run image's target, completed at its first use (requirement C12).
    fn target(&mut self) -> &Target {
        let Self { target, config, root, events, .. } = self;
        target.get_or_insert_with(|| {
            if base_target::needs_os_release(&config.target) {
                events(Event::ReadingOsRelease);
            }
            base_target::complete(root, &config.target)
        })
    }

    /// Runs what has not run yet, then decides about the group.
    fn decide(&mut self, done: &[Chosen]) -> Result<Detected, Miss> {
        let key = |m: &Module| (m.kind, m.id.clone(), m.version.clone());
        let missing: Vec<&Chosen> = done
            .iter()
            .filter(|d| d.mismatch.is_none() && !self.outcomes.contains_key(&key(&d.module)))
            .collect();
        if !missing.is_empty() {
            let target = self.target().clone();
            let shared = Shared { config: self.config, root: self.root, target: &target };
            let modules = missing
                .iter()
                .map(|d| Ok((&*d.module, api_of(&d.module)?)))
                .collect::<Result<Vec<_>, _>>()?;
            let outcomes = run::detect_all(&shared, self.run, &modules);
            for (chosen, outcome) in missing.into_iter().zip(outcomes) {
                self.outcomes.insert(key(&chosen.module), Arc::new(outcome));
            }
        }
        let outcome = |d: &Chosen| d.mismatch.clone().or_else(|| self.outcomes.get(&key(&d.module)).cloned());
        let group: Vec<(Chosen, Arc<Outcome>)> =
            done.iter().filter_map(|d| Some((d.clone(), outcome(d)?))).collect();
        match resolve::resolve_group(&group, self.events) {
            Ok(detected) => Ok(detected),
            Err(unresolved) => {
                let modules = group.into_iter().map(|(d, outcome)| TriedModule {
                    kind: d.module.kind,
                    id: d.module.id.clone(),
                    version: d.module.version.clone(),
                    name: d.module.info.name.clone(),
                    optional: d.optional,
                    outcome,
                });
                self.tried.push(TriedGroup { modules: modules.collect(), misfits: unresolved.misfits });
                Err(if unresolved.broke { Miss::Broke } else { Miss::Failed })
            }
        }
    }
}

/// Notes that a composite buildpack is expanded; an error when it is inside itself (requirement J28).
fn enter(module: &Module, outer: Option<&Rc<Within>>, depth: usize) -> Result<Rc<Within>, Miss> {
    let outward = || std::iter::successors(outer, |w| w.outer.as_ref());
    let is_module = |w: &Rc<Within>| w.id == module.id && w.version == module.version;
    if let Some(at) = outward().position(is_module) {
        let between = outward().take(at + 1).map(|w| format!("{}@{}", w.id, w.version));
        let mut path: Vec<String> = std::iter::once(module.to_string()).chain(between).collect();
        path.reverse();
        return Err(Miss::Abort(DetectError::Cycle { path }));
    }
    if depth >= DEPTH_LIMIT {
        return Err(Miss::Abort(DetectError::TooDeep(DEPTH_LIMIT)));
    }
    Ok(Rc::new(Within { id: module.id.clone(), version: module.version.clone(), outer: outer.cloned() }))
}

/// Returns the API that a module is run with.
///
/// A nested module with an API that we do not speak, but that is well formed, is run as if it were of our
/// newest: the builder refuses it, should it be chosen (requirement J12).
fn api_of(module: &Module) -> Result<BuildpackApi, Miss> {
    match module.api.parse() {
        Ok(api) => Ok(api),
        Err(ApiError::Unsupported(_)) => Ok(BuildpackApi::LATEST),
        Err(ApiError::Unreadable(_)) => match module.supported_api() {
            Ok(api) => Ok(api),
            Err(unsupported) => Err(Miss::Abort(DetectError::Api(unsupported))),
        },
    }
}

/// The sentence that tells that no target of a module is the run image's (requirement C41).
mod wrong_target {
    use cnb_spec::gojson;
    use cnb_spec::target::{Distro, ModuleTarget, Target};
    use serde::Serialize;

    #[derive(Serialize)]
    struct Json<'a> {
        #[serde(skip_serializing_if = "str::is_empty")]
        id: &'a str,
        os: &'a str,
        arch: &'a str,
        #[serde(rename = "arch-variant", skip_serializing_if = "str::is_empty")]
        arch_variant: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        distro: Option<&'a Distro>,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        distros: &'a [Distro],
    }

    fn target(t: &ModuleTarget) -> Json<'_> {
        let ModuleTarget { os, arch, arch_variant, distros } = t;
        Json { id: "", os, arch, arch_variant, distro: None, distros }
    }

    pub(super) fn explain(base: &Target, targets: &[ModuleTarget]) -> String {
        let base = Json {
            id: &base.id,
            os: &base.os,
            arch: &base.arch,
            arch_variant: &base.arch_variant,
            distro: base.distro.as_ref(),
            distros: &[],
        };
        let targets: Vec<Json<'_>> = targets.iter().map(target).collect();
        let text = |json: Result<String, _>| json.unwrap_or_default();
        format!(
            "unable to satisfy target os/arch constraints; run image: {}, buildpack: {}",
            text(gojson::to_string(&base)),
            text(gojson::to_string(&targets))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(ids: &str) -> OrderGroup {
        let entry = |id: &str| toml::from_str::<OrderEntry>(&format!("id = '{id}'\nversion = '1'")).unwrap();
        OrderGroup { group: ids.split_whitespace().map(entry).collect() }
    }

    #[track_caller]
    fn check(given: &str, expected: &str) {
        let mut system = System::default();
        system.pre.buildpacks = group("pre both").group;
        system.post.buildpacks = group("post both").group;
        let found = with_system_buildpacks(&[group(given)], &system);
        let ids: Vec<_> = found[0].group.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids.join(" "), expected);
    }

    #[test]
    fn system_buildpacks_go_around_a_group_unless_it_has_them() {
        check("a", "pre both a post both");
        check("post a both", "pre post a both");
    }

    #[test]
    fn a_wrong_target_is_explained_as_the_go_lifecycle_does() {
        let base = Target { os: "linux".into(), arch: "amd64".into(), ..Target::default() };
        let target: cnb_spec::target::ModuleTarget =
            toml::from_str("os = 'linux'\narch = 'arm64'\n[[distros]]\nname = 'debian'\nversion = '12'")
                .unwrap();
        assert_eq!(
            wrong_target::explain(&base, &[target]),
            "unable to satisfy target os/arch constraints; run image: {\"os\":\"linux\",\"arch\":\"amd64\"}, buildpack: \
             [{\"os\":\"linux\",\"arch\":\"arm64\",\"distros\":[{\"name\":\"debian\",\"version\":\"12\"}]}]"
        );
    }
}
