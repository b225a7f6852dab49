//! The target of the base image, completed from the build container (requirement C12).

use cnb_fs::{GuestPath, Root};
use cnb_spec::target::{Target, distro_of_os_release, host_arch};

/// The most that is read of `/etc/os-release`.
const LIMIT: u64 = 1 << 20;

/// Returns whether `target` lacks what only `/etc/os-release` can tell.
pub fn needs_os_release(target: &Target) -> bool {
    target.distro.is_none()
}

/// Returns `target` with what is missing: the distribution from `/etc/os-release` of the build container,
/// and its operating system and architecture.
///
/// A file that is missing or unreadable leaves the distribution unknown, as in the Go lifecycle.
pub fn complete(root: &Root, target: &Target) -> Target {
    let mut target = target.clone();
    if !needs_os_release(&target) {
        return target;
    }
    if target.os.is_empty() {
        "linux".clone_into(&mut target.os);
    }
    if target.arch.is_empty() {
        host_arch().clone_into(&mut target.arch);
    }
    let bytes = root.read(&GuestPath::new("/etc/os-release"), LIMIT).unwrap_or_default();
    let distro = distro_of_os_release(&String::from_utf8_lossy(&bytes));
    if !distro.name.is_empty() || !distro.version.is_empty() {
        target.distro = Some(distro);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::test_world;
    use cnb_spec::target::Distro;

    #[test]
    fn a_target_with_a_distribution_is_left_alone() {
        let (_dir, root) = test_world();
        let target = Target { distro: Some(Distro::default()), ..Target::default() };
        assert_eq!(complete(&root, &target), target);
    }

    #[test]
    fn the_rest_comes_from_the_build_container() {
        let (_dir, root) = test_world();
        root.write(&GuestPath::new("/etc/os-release"), b"ID=debian\nVERSION_ID=\"12\"\n", 0o644).unwrap();
        let found = complete(&root, &Target { arch: "s390x".into(), ..Target::default() });
        assert_eq!((found.os.as_str(), found.arch.as_str()), ("linux", "s390x"));
        assert_eq!(found.distro, Some(Distro { name: "debian".into(), version: "12".into() }));
    }
}
