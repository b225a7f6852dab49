//! Running an image here: its root in the sandbox, changes thrown away.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use cnb_fs::{FsError, GuestPath, HostPath, Owner, Root, atomic};
use cnb_image::image::Image;
use cnb_image::unpack::{self, Limits};
use cnb_sandbox::{Exit, Foreground, Identity, Mount, Network, Sandbox, SandboxConfig, Session, Upper};
use cnb_spec::image_ref::ImageRef;

use crate::images::BuildLabel;
use crate::listening::Listening;
use crate::{Binding, Failure, FailureKind, Home, Platform, Volume, binding, guest, parts};

/// The `PATH` of an image that has none, as engines set it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One run of an image.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The image, of the local store.
    pub image: ImageRef,
    /// Environment variables; they win over the image's.
    pub env: Vec<(String, String)>,
    /// The port to tell the app in `PORT`.
    pub port: Option<u16>,
    /// The process type to start instead of the default.
    pub process: Option<String>,
    /// The program to start instead of the launcher or process.
    pub entrypoint: Option<String>,
    /// Arguments for it.
    pub args: Vec<String>,
    /// Folders of the host that the app sees.
    pub volumes: Vec<Volume>,
    /// Service bindings for the app, shown at `$SERVICE_BINDING_ROOT`.
    pub bindings: Vec<Binding>,
    /// Whether the app gets a terminal.
    pub tty: bool,
}

/// A started image; dropping it ends the app.
#[derive(Debug)]
pub struct Running {
    session: Session,
    sandbox: Sandbox,
    _dir: RunDir,
}

impl Running {
    /// Passes a signal on to the app.
    pub fn signal(&self, signal: i32) {
        // An app that has ended meanwhile needs no signal.
        let _ = self.session.signal(signal);
    }

    /// Tells the app that the terminal has another size now.
    pub fn resize(&self) {
        // The size is a convenience: an app that does not learn of it goes on with the old one.
        let _ = self.session.resize();
    }

    /// Tells where the app accepts connections; without keeping the app alive.
    pub fn listening(&self) -> Listening {
        Listening::below(self.sandbox.id())
    }

    /// Waits for the app and returns its exit code, 128 + n after signal n.
    pub fn wait(&self) -> Result<i32, Failure> {
        match self.session.wait() {
            Ok(Exit::Code(code)) => Ok(code),
            Ok(Exit::Signal(signal)) => Ok(128 + signal),
            Err(e) => Err(Failure::new(FailureKind::Other, "lost the app").because(e)),
        }
    }
}

/// The throw-away folders of a run.
#[derive(Debug)]
pub(crate) struct RunDir(pub(crate) HostPath);

impl RunDir {
    /// Makes an empty folder that nobody else has.
    pub(crate) fn create(home: &Home) -> Result<Self, FsError> {
        let runs = home.runs();
        fs::create_dir_all(runs.as_path()).map_err(FsError::on("create the directory", runs.as_path()))?;
        let unique = atomic::beside(runs.join("x").as_path());
        let number =
            unique.file_name().unwrap_or_default().to_string_lossy().replace(".x.", "").replace(".tmp", "");
        let dir = Self(runs.join(number));
        fs::create_dir(dir.0.as_path()).map_err(FsError::on("create the directory", dir.0.as_path()))?;
        Ok(dir)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // What is left is deleted by `gc`, since its process is gone.
        let _ = atomic::remove_tree(self.0.as_path());
    }
}

impl Platform {
    /// Starts an image.
    pub fn run(&self, request: &RunRequest) -> Result<Running, Failure> {
        if let Some(conflict) = binding::conflict(&request.bindings) {
            return Err(Failure::new(FailureKind::Request, conflict));
        }
        let image = self.stored(&request.image)?;
        let name = request.image.typed();
        let argv = command(&image, request)?;
        let failed = |what: &str| Failure::new(FailureKind::Other, format!("failed to {what} `{name}`"));
        let parts = parts::unpack(&self.home.parts()).map_err(|e| failed("prepare to run").because(e))?;
        cnb_sandbox::available(&parts.init).map_err(|e| failed("run").hint(e.remedy.clone()).because(e))?;
        let owner = rustix::process::geteuid().is_root().then_some(guest::HOST_USER);
        let dir = self.run_dir(owner).map_err(|e| failed("prepare to run").because(e))?;
        let mut lowers = Vec::new();
        for layer in image.layers().iter().rev() {
            let unpacked = self.home.unpacked().join(layer.diff_id.hex());
            if !unpacked.as_path().exists() {
                unpack::unpack(layer, &unpacked, Limits::GENEROUS, owner)
                    .map_err(|e| failed("unpack").because(e))?;
            }
            // The kernel takes no folder twice; of a layer that occurs twice the upper one alone decides.
            if !lowers.contains(&unpacked) {
                lowers.push(unpacked);
            }
        }
        let (uid, gid) = user(&image.config().config.user, &lowers).ok_or_else(|| {
            failed("run").because(format!("it has no user `{}`", image.config().config.user))
        })?;
        let mut env = environment(&image, request, &home_of(uid, &lowers));
        let mut mounts = mounts(lowers.clone(), &dir.0, &request.volumes);
        mounts.extend(binding::trust_in_run(&request.bindings, &lowers, &mut env));
        mounts.extend(binding::mounts(&request.bindings));
        let config = SandboxConfig {
            init: parts.init,
            mounts,
            identity: match owner {
                None => Identity::Caller { uid, gid },
                Some(o) => Identity::Host { host_uid: o.uid, host_gid: o.gid, uid, gid },
            },
            network: Network::Host,
            limits: cnb_sandbox::Limits::default(),
            hostname: "cnb".to_owned(),
        };
        let sandbox = Sandbox::start(&config).map_err(|e| failed("start a sandbox for").because(e))?;
        let working_dir = &image.config().config.working_dir;
        let command = Foreground {
            env,
            cwd: GuestPath::new(if working_dir.is_empty() { "/" } else { working_dir }),
            terminal: request.tty,
            argv: argv.iter().map(OsString::from).collect(),
        };
        let session = sandbox.foreground(&command).map_err(|e| {
            let failure =
                Failure::new(FailureKind::Other, format!("failed to start `{}` in `{name}`", argv[0]))
                    .because(e);
            failure.hint("the program is looked for in the image, along its PATH")
        })?;
        Ok(Running { session, sandbox, _dir: dir })
    }

    fn run_dir(&self, owner: Option<Owner>) -> Result<RunDir, FsError> {
        let unpacked = self.home.unpacked();
        fs::create_dir_all(unpacked.as_path())
            .map_err(FsError::on("create the directory", unpacked.as_path()))?;
        let dir = RunDir::create(&self.home)?;
        if let Some(owner) = owner {
            crate::workdir::give(&dir.0, owner)?;
        }
        for folder in [dir.0.join("upper"), dir.0.join("work")] {
            fs::create_dir(folder.as_path())
                .map_err(FsError::on("create the directory", folder.as_path()))?;
            if let Some(owner) = owner {
                crate::workdir::give(&folder, owner)?;
            }
        }
        Ok(dir)
    }
}

/// What is started: as engines do it, the arguments go to the entry point.
fn command(image: &Image, request: &RunRequest) -> Result<Vec<String>, Failure> {
    let config = &image.config().config;
    let mut argv = match (&request.entrypoint, &request.process) {
        (Some(program), _) => vec![program.clone()],
        (None, Some(process)) => {
            let known: Vec<String> =
                BuildLabel::of(image).processes("").into_iter().map(|p| p.process_type).collect();
            if !known.contains(process) {
                let message = format!("`{}` has no process type `{process}`", request.image.typed());
                let hint = if known.is_empty() {
                    "it has none at all".to_owned()
                } else {
                    format!("it has {}", known.join(", "))
                };
                return Err(Failure::new(FailureKind::Request, message).hint(hint));
            }
            vec![format!("/cnb/process/{process}")]
        }
        (None, None) if !config.entrypoint.is_empty() => config.entrypoint.clone(),
        (None, None) => Vec::new(),
    };
    if request.args.is_empty() && request.entrypoint.is_none() && request.process.is_none() {
        argv.extend(config.cmd.iter().cloned());
    } else {
        argv.extend(request.args.iter().cloned());
    }
    if argv.is_empty() {
        let failure = Failure::new(
            FailureKind::Request,
            format!("`{}` does not say what to start", request.image.typed()),
        );
        return Err(failure.hint("name a program with --entrypoint"));
    }
    Ok(argv)
}

fn mounts(lowers: Vec<HostPath>, dir: &HostPath, volumes: &[Volume]) -> Vec<Mount> {
    let guest = GuestPath::new;
    let mut mounts = vec![
        Mount::Overlay {
            guest: guest("/"),
            lowers,
            upper: Some(Upper { dir: dir.join("upper"), work: dir.join("work") }),
        },
        Mount::Proc { guest: guest("/proc") },
        Mount::Dev { guest: guest("/dev") },
    ];
    // The host's network comes with the host's way of resolving names.
    for file in ["/etc/resolv.conf", "/etc/hosts"] {
        if Path::new(file).exists() {
            mounts.push(Mount::Bind { host: HostPath::absolute(file), guest: guest(file), writable: false });
        }
    }
    mounts.extend(volumes.iter().map(|v| Mount::Bind {
        host: v.host.clone(),
        guest: v.guest.clone(),
        writable: v.writable,
    }));
    mounts
}

fn environment(image: &Image, request: &RunRequest, home: &str) -> BTreeMap<OsString, OsString> {
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: &str| env.insert(OsString::from(name), OsString::from(value));
    set("PATH", DEFAULT_PATH);
    set("HOME", home);
    set("HOSTNAME", "cnb");
    if request.tty {
        set("TERM", "xterm");
    }
    for pair in &image.config().config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(name, value);
    }
    if !request.bindings.is_empty() {
        set(binding::ROOT, binding::GUEST);
    }
    if let Some(port) = request.port {
        set("PORT", &port.to_string());
    }
    for (name, value) in &request.env {
        set(name, value);
    }
    env
}

/// Returns uid and gid of a `User` as an image config has it: numbers, or names that the image knows.
fn user(text: &str, lowers: &[HostPath]) -> Option<(u32, u32)> {
    if text.is_empty() {
        return Some((0, 0));
    }
    let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
    let (uid, of_user) = if let Ok(uid) = user.parse() {
        let fields = account(lowers, "etc/passwd", |f| f.get(2) == Some(&user));
        (uid, fields.and_then(|f| f.get(3)?.parse().ok()))
    } else {
        let fields = account(lowers, "etc/passwd", |f| f.first() == Some(&user))?;
        (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok())
    };
    let gid = match group {
        None => of_user.unwrap_or(0),
        Some(group) => match group.parse() {
            Ok(gid) => gid,
            Err(_) => account(lowers, "etc/group", |f| f.first() == Some(&group))?.get(2)?.parse().ok()?,
        },
    };
    Some((uid, gid))
}

fn home_of(uid: u32, lowers: &[HostPath]) -> String {
    let uid = uid.to_string();
    let fields = account(lowers, "etc/passwd", |f| f.get(2) == Some(&uid.as_str()));
    fields.and_then(|f| f.get(5).cloned()).unwrap_or_else(|| "/".to_owned())
}

/// Returns the fields of the first line that `wanted` accepts, of the topmost such file of the image.
fn account(lowers: &[HostPath], file: &str, wanted: impl Fn(&[&str]) -> bool) -> Option<Vec<String>> {
    for lower in lowers {
        // Through a handle: a link in a hostile image must not lead to a file of the host.
        let Ok(dir) = fs::File::open(lower.as_path()) else { continue };
        let root = Root::new(dir.into(), None);
        if let Ok(bytes) = root.read(&GuestPath::new(file), 1 << 20) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let line = text.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| wanted(f))?;
            return Some(line.into_iter().map(str::to_owned).collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_or_names_of_the_image() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        fs_err::write(dir.path().join("etc/passwd"), "root:x:0:0::/root:\ncnb:x:1001:1000::/home/cnb:\n")
            .unwrap();
        fs_err::write(dir.path().join("etc/group"), "web:x:33:\n").unwrap();
        let lowers = [HostPath::absolute(dir.path())];
        for (text, expected) in [
            ("", Some((0, 0))),
            ("1001:1000", Some((1001, 1000))),
            ("1001", Some((1001, 1000))),
            ("7", Some((7, 0))),
            ("cnb", Some((1001, 1000))),
            ("cnb:web", Some((1001, 33))),
            ("ghost", None),
            ("cnb:ghost", None),
        ] {
            assert_eq!(user(text, &lowers), expected, "{text}");
        }
        assert_eq!(home_of(1001, &lowers), "/home/cnb");
        assert_eq!(home_of(5, &lowers), "/");
    }

    #[test]
    fn accounts_behind_a_link_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("etc/passwd")).unwrap();
        assert_eq!(user("root", &[HostPath::absolute(dir.path())]), None);
    }
}
