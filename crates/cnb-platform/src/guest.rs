//! What the buildpacks see: the plan of the sandbox of a build.
//!
//! Pure: from what was found on the host to a list of mounts. `docs/sandbox.md` and
//! `docs/default-builder.md` say what is promised.

use std::path::{Path, PathBuf};

use cnb_fs::{GuestPath, HostPath, Owner};
use cnb_sandbox::{Identity, Limits, Mount, Network, SandboxConfig, Upper};

use crate::host::toolchains::ReadOnlyMount;
use crate::workdir::WorkDir;
use crate::{Binding, Volume, binding};

/// The build user inside: the `cnb` user of run images.
pub(crate) const USER: Owner = Owner { uid: 1001, gid: 1000 };

/// The user on the host that a build started by root runs as: an id that no account is likely to have.
pub(crate) const HOST_USER: Owner = Owner { uid: 1_879_001_001, gid: 1_879_001_001 };

/// What of the host's `/etc` the tools of a build need; no accounts, no secrets, no service settings.
const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "gai.conf",
    "host.conf",
    "hosts",
    "java",
    "java-11-openjdk",
    "java-17-openjdk",
    "java-21-openjdk",
    "java-25-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "maven",
    "mime.types",
    "os-release",
    "perl",
    "pki",
    "profile.d",
    "protocols",
    "python3",
    "python3.11",
    "resolv.conf",
    "services",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
];

/// Folders of the host that are there as they are, when they are there.
pub(crate) const HOST_FOLDERS: &[&str] =
    &["/usr", "/opt", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];

/// A buildpack and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountedBuildpack {
    /// Its folder on the host.
    pub host: HostPath,
    /// Its escaped ID.
    pub escaped_id: String,
    /// Its version.
    pub version: String,
}

/// What the plan is made from.
#[derive(Debug)]
pub(crate) struct GuestPlan<'a> {
    pub init: &'a HostPath,
    pub work: &'a WorkDir,
    /// The kept levels of the layers directory, top first.
    pub levels: &'a [HostPath],
    pub buildpacks: &'a [MountedBuildpack],
    /// Toolchains outside the usual folders.
    pub toolchains: &'a [ReadOnlyMount],
    /// Generated files: where they appear, and where they are.
    pub files: &'a [(GuestPath, HostPath)],
    pub volumes: &'a [Volume],
    pub bindings: &'a [Binding],
    pub workspace: &'a GuestPath,
    pub layers: &'a GuestPath,
    pub network: Network,
    pub limits: Limits,
    /// The build user on the host when root started the build.
    pub owner: Option<Owner>,
}

impl GuestPlan<'_> {
    /// Returns the sandbox; `kind` tells what a path of the host is, `None` when it is not there.
    pub(crate) fn sandbox(&self, kind: impl Fn(&Path) -> Option<HostKind>) -> SandboxConfig {
        let mut mounts = Vec::new();
        for folder in HOST_FOLDERS {
            match kind(Path::new(folder)) {
                Some(HostKind::Link(target)) => {
                    mounts
                        .push(Mount::Link { guest: GuestPath::new(folder), target: GuestPath::new(target) });
                }
                Some(HostKind::Other) => mounts.push(read_only(folder)),
                None => {}
            }
        }
        mounts.push(Mount::Dir { guest: GuestPath::new("/etc"), mode: 0o755 });
        for name in ETC {
            let path = Path::new("/etc").join(name);
            if kind(&path).is_some() {
                mounts.push(read_only(&path));
            }
        }
        for (path, text) in [("/etc/passwd", PASSWD), ("/etc/group", GROUP), ("/etc/nsswitch.conf", NSSWITCH)]
        {
            mounts.push(Mount::File {
                guest: GuestPath::new(path),
                contents: text.as_bytes().to_vec(),
                mode: 0o644,
            });
        }
        mounts.push(Mount::Dir { guest: GuestPath::new("/run"), mode: 0o755 });
        mounts.push(Mount::Dir { guest: GuestPath::new("/var/tmp"), mode: 0o755 });
        mounts.push(Mount::Proc { guest: GuestPath::new("/proc") });
        mounts.push(Mount::Dev { guest: GuestPath::new("/dev") });
        for (guest, host) in self.files {
            mounts.push(Mount::Bind { host: host.clone(), guest: guest.clone(), writable: false });
        }
        for tool in self.toolchains {
            mounts.push(Mount::Bind { host: tool.host.clone(), guest: tool.guest.clone(), writable: false });
        }
        mounts.push(writable(self.work.tmp(), GuestPath::new("/tmp")));
        mounts.push(writable(self.work.home(), GuestPath::new("/home/cnb")));
        mounts.push(writable(self.work.workspace(), self.workspace.clone()));
        mounts.push(Mount::Bind {
            host: self.work.platform(),
            guest: GuestPath::new("/platform"),
            writable: false,
        });
        mounts.extend(binding::mounts(self.bindings));
        mounts.push(Mount::Dir { guest: GuestPath::new("/cnb/buildpacks"), mode: 0o755 });
        for buildpack in self.buildpacks {
            let guest =
                GuestPath::new("/cnb/buildpacks").join(&buildpack.escaped_id).join(&buildpack.version);
            mounts.push(Mount::Bind { host: buildpack.host.clone(), guest, writable: false });
        }
        let mut lowers = self.levels.to_vec();
        lowers.push(self.work.empty());
        let upper = Some(Upper { dir: self.work.upper(), work: self.work.overlay() });
        mounts.push(Mount::Overlay { guest: self.layers.clone(), lowers, upper });
        for volume in self.volumes {
            mounts.push(Mount::Bind {
                host: volume.host.clone(),
                guest: volume.guest.clone(),
                writable: volume.writable,
            });
        }
        SandboxConfig {
            init: self.init.clone(),
            mounts,
            identity: identity(self.owner),
            network: self.network,
            limits: self.limits,
            hostname: "cnb".to_owned(),
        }
    }
}

/// What a path of the host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostKind {
    /// A symbolic link to this.
    Link(PathBuf),
    /// Anything else.
    Other,
}

/// Looks at a path of the host.
pub(crate) fn host_kind(path: &Path) -> Option<HostKind> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    if metadata.is_symlink() && path.parent() == Some(Path::new("/")) {
        return std::fs::read_link(path).ok().map(HostKind::Link);
    }
    // A dangling link in /etc leads nowhere in the sandbox either.
    path.exists().then_some(HostKind::Other)
}

/// Who the commands of a build or an app are.
pub(crate) fn identity(owner: Option<Owner>) -> Identity {
    match owner {
        None => Identity::Caller { uid: USER.uid, gid: USER.gid },
        Some(o) => Identity::Host { host_uid: o.uid, host_gid: o.gid, uid: USER.uid, gid: USER.gid },
    }
}

fn read_only(path: impl AsRef<Path>) -> Mount {
    Mount::Bind { host: HostPath::absolute(&path), guest: GuestPath::new(&path), writable: false }
}

fn writable(host: HostPath, guest: GuestPath) -> Mount {
    Mount::Bind { host, guest, writable: true }
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ncnb:x:1001:1000:cnb:/home/cnb:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\ncnb:x:1000:\nnogroup:x:65534:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nhosts: files dns\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(host: &[(&str, Option<&str>)], volumes: &[Volume]) -> Vec<Mount> {
        let dir = tempfile::tempdir().unwrap();
        let work = WorkDir::create(&HostPath::absolute(dir.path()), None).unwrap();
        let buildpack = MountedBuildpack {
            host: HostPath::absolute("/b"),
            escaped_id: "a_b".into(),
            version: "1".into(),
        };
        let plan = GuestPlan {
            init: &HostPath::absolute("/init"),
            work: &work,
            levels: &[HostPath::absolute("/kept")],
            buildpacks: &[buildpack],
            toolchains: &[ReadOnlyMount {
                guest: GuestPath::new("/home/u/.nvm/versions/node/v20"),
                host: HostPath::absolute("/home/u/.nvm/versions/node/v20"),
            }],
            files: &[(GuestPath::new("/etc/ssl/certs/ca.crt"), HostPath::absolute("/ca"))],
            volumes,
            bindings: &[],
            workspace: &GuestPath::new("/workspace"),
            layers: &GuestPath::new("/layers"),
            network: Network::Host,
            limits: Limits::default(),
            owner: None,
        };
        let kind = |path: &Path| {
            let (_, target) = host.iter().find(|(p, _)| Path::new(p) == path)?;
            Some(target.map_or(HostKind::Other, |t| HostKind::Link(t.into())))
        };
        plan.sandbox(kind).mounts
    }

    #[test]
    fn only_named_things_of_the_host_are_there_and_none_is_writable() {
        let found = mounts(
            &[
                ("/usr", None),
                ("/bin", Some("usr/bin")),
                ("/etc/hosts", None),
                ("/etc/shadow", None),
                ("/home", None),
            ],
            &[],
        );
        let binds: Vec<_> = found
            .iter()
            .filter_map(|m| match m {
                Mount::Bind { guest, writable, .. } => Some((guest.to_string(), *writable)),
                _ => None,
            })
            .collect();
        let expected = [
            ("/usr", false),
            ("/etc/hosts", false),
            ("/etc/ssl/certs/ca.crt", false),
            ("/home/u/.nvm/versions/node/v20", false),
            ("/tmp", true),
            ("/home/cnb", true),
            ("/workspace", true),
            ("/platform", false),
            ("/cnb/buildpacks/a_b/1", false),
        ];
        assert_eq!(binds, expected.map(|(p, w)| (p.to_owned(), w)));
        assert!(
            found.contains(&Mount::Link { guest: GuestPath::new("/bin"), target: GuestPath::new("usr/bin") })
        );
    }

    #[test]
    fn layers_lie_over_the_kept_levels() {
        let found = mounts(&[], &[]);
        let overlay = found.iter().find_map(|m| match m {
            Mount::Overlay { guest, lowers, upper } => Some((guest, lowers, upper)),
            _ => None,
        });
        let (guest, lowers, upper) = overlay.unwrap();
        assert_eq!((guest, &lowers[0]), (&GuestPath::new("/layers"), &HostPath::absolute("/kept")));
        assert!(upper.is_some() && lowers.len() == 2);
    }

    #[test]
    fn volumes_come_last_and_are_writable_only_when_asked() {
        let volume =
            Volume { host: HostPath::absolute("/data"), guest: GuestPath::new("/data"), writable: true };
        let found = mounts(&[], std::slice::from_ref(&volume));
        assert_eq!(found.last(), Some(&writable(volume.host, volume.guest)));
    }
}
