//! Entering the world of a build: source, buildpacks, toolchains and settings in place, the sandbox started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cnb_fs::{FsError, GuestPath, HostPath, Owner, Root, atomic};
use cnb_sandbox::Sandbox;
use cnb_spec::env::Env;

use crate::build::{LAYERS, Session};
use crate::guest::{self, GuestPlan};
use crate::host::settings::Settings;
use crate::host::toolchains::Toolchains;
use crate::modules::{self, Modules};
use crate::parts::Parts;
use crate::project::Project;
use crate::source::{self, SourceConfig};
use crate::unisolated::Places;
use crate::workdir::{self, WorkDir};
use crate::{Failure, FailureKind, Isolation, binding, host};

/// The world in which the buildpacks run.
pub(crate) struct World {
    pub sandbox: Sandbox,
    pub root: Root,
    /// What a build without isolation made on the host.
    pub places: Option<Places>,
    pub work: WorkDir,
    pub buildpacks: GuestPath,
    pub platform_dir: GuestPath,
    pub scratch: GuestPath,
    pub env: Env,
}

impl Session<'_> {
    /// Copies the application, finds buildpacks and toolchains, and starts the sandbox.
    ///
    /// `levels` are those of the kept layers directory, top first; there may be none.
    pub(crate) fn enter(
        &self,
        folder: &HostPath,
        parts: &Parts,
        project: &Project,
        levels: &[HostPath],
    ) -> Result<(World, Modules), Failure> {
        let prepare = |e: FsError| Failure::new(FailureKind::Other, "failed to prepare the build").because(e);
        let owner = rustix::process::geteuid().is_root().then_some(guest::HOST_USER);
        let work = WorkDir::create(folder, owner).map_err(prepare)?;
        let modules = self.modules(project, parts, &work)?;
        let bindings = &self.request.bindings;
        let mut settings = self.settings();
        host::settings::certificates::add(&mut settings, &binding::certificates(bindings));
        let toolchains = self.toolchains();
        self.copy_source(project, &work, owner)?;
        let mut hosts = settings.env.clone();
        hosts.extend(toolchains.env.clone());
        for (name, value) in project.env(&hosts, self.request) {
            let path = work.platform().join("env").join(&name);
            fs_err::write(path.as_path(), value.as_bytes())
                .map_err(|e| prepare(FsError::on("write", path.as_path())(e)))?;
        }
        if !bindings.is_empty() {
            self.tell_binding_root(&work.platform(), binding::GUEST).map_err(prepare)?;
        }
        let files = write_settings(&settings, &work, owner).map_err(prepare)?;
        for dir in [work.platform(), work.files()] {
            workdir::let_read(dir.as_path()).map_err(prepare)?;
        }

        let layers = GuestPath::new(LAYERS);
        let plan = GuestPlan {
            init: &parts.init,
            work: &work,
            levels,
            buildpacks: &modules.mounts,
            toolchains: &toolchains.mounts,
            files: &files,
            volumes: &self.request.volumes,
            bindings,
            workspace: &self.request.workspace,
            layers: &layers,
            network: self.request.network,
            limits: self.request.limits,
            owner,
        };
        let (sandbox, places) = if let Some(sandbox) = self.isolate(parts, &plan)? {
            (sandbox, None)
        } else {
            let places = Places::make(self.request, &work, &modules.mounts, levels, &layers, owner)?;
            if !bindings.is_empty() {
                let root = places.bindings();
                binding::write(bindings, root.as_path(), owner).map_err(prepare)?;
                let name = root.to_string();
                self.tell_binding_root(&places.platform(), &name).map_err(prepare)?;
            }
            let started = Sandbox::without_isolation(&parts.init, owner, self.request.limits);
            let failed = |e| Failure::new(FailureKind::Other, "failed to start the build").because(e);
            (started.map_err(failed)?, Some(places))
        };
        self.cancel.attach(sandbox.killer());
        if self.request.limits.memory.is_some() && !sandbox.memory_is_limited() {
            self.warn(
                "the memory limit is not enforced: no version 2 control group with the memory controller is delegated to this user",
            );
        }
        let root = sandbox
            .root()
            .map_err(|e| Failure::new(FailureKind::Other, "failed to enter the sandbox").because(e))?;
        let place = |guest: &str, of: fn(&Places) -> HostPath| {
            places.as_ref().map_or_else(|| GuestPath::new(guest), |p| GuestPath::new(of(p).as_path()))
        };
        let home = place("/home/cnb", Places::home);
        let world = World {
            env: environment(&self.platform.env, &toolchains, &settings, &home),
            buildpacks: place("/cnb/buildpacks", Places::buildpacks),
            platform_dir: place("/platform", Places::platform),
            scratch: place("/tmp", Places::tmp),
            sandbox,
            root,
            places,
            work,
        };
        Ok((world, modules))
    }

    /// Tells the buildpacks where the bindings are, as if the user had set the variable.
    fn tell_binding_root(&self, platform: &HostPath, root: &str) -> Result<(), FsError> {
        let path = platform.join("env").join(binding::ROOT);
        self.debug(&format!("{} is {root}", binding::ROOT));
        atomic::write(path.as_path(), root.as_bytes())?;
        workdir::let_read(path.as_path())
    }

    /// Starts the sandbox; `None` when the build goes on without one.
    fn isolate(&self, parts: &Parts, plan: &GuestPlan<'_>) -> Result<Option<Sandbox>, Failure> {
        if self.request.isolation == Isolation::None {
            return Ok(None);
        }
        let failed = || Failure::new(FailureKind::Other, "failed to start the sandbox");
        let error = match Sandbox::start(&plan.sandbox(guest::host_kind)) {
            Ok(sandbox) => return Ok(Some(sandbox)),
            Err(error) => error,
        };
        // Only now is it worth finding out whether any sandbox can be had here: it costs starting one.
        let Err(unavailable) = cnb_sandbox::available(&parts.init) else {
            return Err(failed().because(error));
        };
        if self.request.isolation == Isolation::Sandbox {
            let hint = unavailable.remedy.clone();
            return Err(failed().because(unavailable).hint(hint));
        }
        self.warn(&format!(
            "buildpacks run without isolation: {unavailable}; they see this machine's files, processes and network as the user running cnb. {}",
            unavailable.remedy
        ));
        Ok(None)
    }

    fn modules(&self, project: &Project, parts: &Parts, work: &WorkDir) -> Result<Modules, Failure> {
        let scratch = work.unpacked();
        let find = |named: &[String], base: &Path, sub: &str| {
            let found = modules::find(named, base, &parts.buildpacks, &scratch.join(sub))?;
            for (module, violation) in found.iter().flat_map(|f| f.violations.iter().map(move |v| (f, v))) {
                self.warn(&format!(
                    "the buildpack {}@{} is not as specified: {violation}",
                    module.id, module.version
                ));
            }
            Ok(found)
        };
        let descriptor = &project.descriptor;
        let named = |list, sub: &str| project.named(list, &self.request.exec_env, &scratch.join(sub));
        // What the caller names replaces what the descriptor says; `pre` and `post` go around the default
        // groups only (J46).
        if !self.request.buildpacks.is_empty() {
            let chosen = find(&self.request.buildpacks, self.request.base.as_path(), "chosen")?;
            return modules::modules(&chosen, &[], &[], &parts.buildpacks);
        }
        let chosen = find(&named(&descriptor.group, "group")?, &project.dir, "group")?;
        if !chosen.is_empty() {
            return modules::modules(&chosen, &[], &[], &parts.buildpacks);
        }
        let pre = find(&named(&descriptor.pre, "pre")?, &project.dir, "pre")?;
        let post = find(&named(&descriptor.post, "post")?, &project.dir, "post")?;
        modules::modules(&[], &pre, &post, &parts.buildpacks)
    }

    fn settings(&self) -> Settings {
        let home = self.user_home();
        let config =
            host::settings::SettingsConfig { env: &self.platform.env, home: &home, root: Path::new("/") };
        let settings = host::settings::collect(&config);
        for left_out in &settings.left_out {
            self.debug(&left_out.to_string());
        }
        settings
    }

    fn user_home(&self) -> HostPath {
        self.platform.env.get(OsStr::new("HOME")).map_or(HostPath::absolute("/root"), HostPath::absolute)
    }

    fn toolchains(&self) -> Toolchains {
        let home = self.user_home();
        let cache = self.platform.home.toolchains();
        let config = host::toolchains::ToolchainConfig {
            env: &self.platform.env,
            home: &home,
            cache: Some(cache.as_path()),
            timeout: host::toolchains::TIMEOUT,
        };
        host::toolchains::find(&config, &|note| self.debug(&note.to_string()))
    }

    fn copy_source(&self, project: &Project, work: &WorkDir, owner: Option<Owner>) -> Result<(), Failure> {
        let leave_out = [self.platform.home.data.clone()];
        let config = SourceConfig {
            source: &self.request.app,
            files: &project.descriptor.files,
            owner,
            leave_out: &leave_out,
        };
        let copied =
            source::copy(&config, work.workspace().as_path(), &|event| self.warn(&event.to_string()));
        let report = copied.map_err(|e| {
            Failure::new(
                FailureKind::Request,
                format!("failed to copy the application `{}`", self.request.app),
            )
            .because(e)
        })?;
        self.debug(&format!("copied {} files, {} bytes", report.files, report.bytes));
        Ok(())
    }
}

/// Writes the settings that are files; returns those that do not lie in the build user's home.
fn write_settings(
    settings: &Settings,
    work: &WorkDir,
    owner: Option<Owner>,
) -> Result<Vec<(GuestPath, HostPath)>, FsError> {
    let mut mounted = Vec::new();
    for (number, file) in settings.files.iter().enumerate() {
        let write = |path: &HostPath| {
            fs_err::write(path.as_path(), &file.contents).map_err(FsError::on("write", path.as_path()))
        };
        let Ok(name) = file.guest.as_guest().strip_prefix("/home/cnb") else {
            let path = work.files().join(number.to_string());
            write(&path)?;
            mounted.push((file.guest.clone(), path));
            continue;
        };
        let mut path = work.home();
        let mut components = name.components().peekable();
        while let Some(component) = components.next() {
            path = path.join(component);
            if components.peek().is_none() {
                write(&path)?;
            } else if !path.as_path().is_dir() {
                std::fs::create_dir(path.as_path())
                    .map_err(FsError::on("create the directory", path.as_path()))?;
            } else {
                continue;
            }
            if let Some(owner) = owner {
                workdir::give(&path, owner)?;
            }
        }
    }
    Ok(mounted)
}

/// The environment of the lifecycle, of which buildpacks inherit a fixed part (requirement C7).
fn environment(user: &Env, toolchains: &Toolchains, settings: &Settings, home: &GuestPath) -> Env {
    let home = home.as_os_str().to_owned();
    let path =
        search_path(user.get(OsStr::new("PATH")).map_or(OsStr::new(""), OsString::as_os_str), toolchains);
    let mut env =
        Env::from([("PATH".into(), path), ("HOME".into(), home), ("HOSTNAME".into(), "cnb".into())]);
    for (name, value) in settings.env.iter().filter(|(name, _)| name.to_lowercase().ends_with("_proxy")) {
        env.insert(name.into(), value.into());
    }
    env
}

/// Where programs are looked for: the toolchains, then what of the user's own path is there, then the usual.
fn search_path(user: &OsStr, toolchains: &Toolchains) -> OsString {
    let usual = OsStr::new("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let there = |dir: &PathBuf| guest::HOST_FOLDERS.iter().any(|folder| dir.starts_with(folder));
    let mut dirs: Vec<PathBuf> = Vec::new();
    let own = std::env::split_paths(user).filter(there);
    let tools = toolchains.path_dirs.iter().map(|d| d.as_guest().to_path_buf());
    for dir in tools.chain(own).chain(std::env::split_paths(usual)) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    // None of them has a colon in it, since each came out of such a list or is a mount point of ours.
    std::env::join_paths(dirs).unwrap_or_else(|_| usual.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_where_the_user_finds_them_as_far_as_that_is_there() {
        let toolchains =
            Toolchains { path_dirs: vec![GuestPath::new("/home/u/.nvm/bin")], ..Toolchains::default() };
        let found = search_path(OsStr::new("/home/u/bin:/usr/local/go/bin:/usr/bin:/srv/bin"), &toolchains);
        assert_eq!(
            found,
            "/home/u/.nvm/bin:/usr/local/go/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin:/bin"
        );
    }
}
