//! The guest's files, from inside and from outside.

use cnb_fs::HostPath;
use cnb_sandbox::{Exit, Mount, Sandbox, SandboxConfig, Upper};

use crate::world::{self, config, dirs, guest, said, sh, start};

#[test]
fn an_overlay_s_changes_go_to_the_upper_and_the_lower_stays_as_it_was() {
    let dir = world::owned_dir();
    let [low, top, up, work] = dirs(&dir, ["low", "top", "up", "work"]);
    for (layer, name, text) in
        [(&low, "kept", "low"), (&low, "gone", "low"), (&low, "both", "low"), (&top, "both", "top")]
    {
        let path = layer.join(name);
        std::fs::write(path.as_path(), text).unwrap();
        world::give(path.as_path());
    }
    let upper = Some(Upper { dir: up.clone(), work });
    let layers = Mount::Overlay { guest: guest("/layers"), lowers: vec![top.clone(), low.clone()], upper };
    let sandbox = start([layers]);
    assert_eq!(
        said(&sandbox, "cd /layers; cat kept gone both; rm gone; echo new > new; echo more >> kept"),
        "lowlowtop"
    );
    drop(sandbox);
    let names = |path: &HostPath| {
        let entries = std::fs::read_dir(path.as_path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&low), ["both", "gone", "kept"]);
    assert_eq!(std::fs::read_to_string(low.join("kept").as_path()).unwrap(), "low");
    assert_eq!(names(&up), ["gone", "kept", "new"]);
    assert_eq!(std::fs::read_to_string(up.join("kept").as_path()).unwrap(), "lowmore\n");
}

#[test]
fn an_overlay_without_an_upper_is_read_only_with_one_lower_and_with_a_hundred() {
    let dir = world::owned_dir();
    let names: Vec<_> =
        (0..100).map(|i| format!("a long name, with a comma: and a colon \\ {i:03}")).collect();
    let mut lowers = Vec::new();
    for name in &names {
        let [lower] = dirs(&dir, [name]);
        std::fs::write(lower.join(name).as_path(), name).unwrap();
        lowers.push(lower);
    }
    let one = Mount::Overlay { guest: guest("/one"), lowers: lowers[..1].to_vec(), upper: None };
    let all = Mount::Overlay { guest: guest("/all"), lowers, upper: None };
    let sandbox = start([one, all]);
    assert_eq!(said(&sandbox, "ls /one | wc -l; ls /all | wc -l"), "1\n100\n");
    for script in ["touch /one/x", "touch /all/x"] {
        assert!(sh(&sandbox, script).1.contains("Read-only file system"));
    }
}

#[test]
fn an_overlay_can_be_the_root_itself() {
    let dir = world::owned_dir();
    let [low, up, work] = dirs(&dir, ["low", "up", "work"]);
    std::fs::create_dir(low.join("etc").as_path()).unwrap();
    world::give(low.join("etc").as_path());
    let base = config();
    let upper = Some(Upper { dir: up.clone(), work });
    let mut mounts = vec![Mount::Overlay { guest: guest("/"), lowers: vec![low.clone()], upper }];
    mounts.extend(base.mounts.iter().cloned());
    let sandbox = Sandbox::start(&SandboxConfig { mounts, ..base }).unwrap();
    assert_eq!(said(&sandbox, "echo x > /etc/x; touch /y; cat /etc/x"), "x\n");
    drop(sandbox);
    assert!(up.join("etc/x").as_path().exists());
    assert!(!low.join("etc/x").as_path().exists());
}

#[test]
fn a_link_in_a_hostile_root_does_not_lead_a_mount_out() {
    let dir = world::owned_dir();
    let [image, outside] = dirs(&dir, ["image", "outside"]);
    std::os::unix::fs::symlink(outside.as_path(), image.join("out").as_path()).unwrap();
    std::os::unix::fs::symlink("/../../in", image.join("loop").as_path()).unwrap();
    std::fs::create_dir(image.join("in").as_path()).unwrap();
    world::give(image.join("in").as_path());
    let start = |above: &str| {
        let root = Mount::Bind { host: image.clone(), guest: guest("/"), writable: true };
        let file = Mount::File { guest: guest(above).join("f"), contents: b"x".to_vec(), mode: 0o644 };
        let dir = Mount::Tmpfs { guest: guest(above).join("dir"), size: 1 << 20, mode: 0o755 };
        Sandbox::start(&SandboxConfig { mounts: vec![root, file, dir], ..config() })
    };
    // There is no such directory inside; the one outside is not a substitute.
    start("/out").unwrap_err();
    assert_eq!(std::fs::read_dir(outside.as_path()).unwrap().count(), 0);
    start("/loop").unwrap();
    assert!(image.join("in/f").as_path().exists());
}

#[test]
fn writable_mounts_reach_the_host_and_read_only_ones_do_not() {
    let dir = world::owned_dir();
    let [a, b] = dirs(&dir, ["a", "b"]);
    let sandbox = start([
        Mount::Bind { host: a.clone(), guest: guest("/deep/down/a"), writable: true },
        Mount::Bind { host: b.clone(), guest: guest("/b"), writable: false },
    ]);
    assert_eq!(said(&sandbox, "echo 1 > /deep/down/a/f; cat /deep/down/a/f"), "1\n");
    assert_ne!(sh(&sandbox, "echo 1 > /b/f").0, Exit::Code(0));
    assert_ne!(sh(&sandbox, "mount -o remount,rw,bind /b && echo 1 > /b/f").0, Exit::Code(0));
    assert!(a.join("f").as_path().exists());
    assert!(!b.join("f").as_path().exists());
}

#[test]
fn sources_may_lie_where_the_guest_s_user_cannot_go() {
    let dir = tempfile::tempdir().unwrap();
    let locked = dir.path().join("locked");
    let open = locked.join("open");
    std::fs::create_dir_all(&open).unwrap();
    std::fs::write(open.join("f"), "inside").unwrap();
    let only_owner = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&locked, only_owner).unwrap();
    let host = HostPath::absolute(&open);
    let sandbox = start([
        Mount::Bind { host: host.clone(), guest: guest("/bound"), writable: false },
        Mount::Overlay {
            guest: guest("/laid"),
            lowers: vec![host, HostPath::absolute("/usr/share")],
            upper: None,
        },
    ]);
    assert_eq!(said(&sandbox, "cat /bound/f /laid/f"), "insideinside");
}

#[test]
fn generated_files_directories_and_links_are_as_asked() {
    let sandbox = start([
        Mount::Dir { guest: guest("/home/cnb"), mode: 0o750 },
        Mount::File {
            guest: guest("/etc/passwd"),
            contents: b"cnb:x:1001:1000::/home/cnb:/bin/sh\n".to_vec(),
            mode: 0o644,
        },
        Mount::Link { guest: guest("/etc/link"), target: guest("/etc/passwd") },
    ]);
    assert_eq!(
        said(&sandbox, "id -un; readlink /etc/link; stat -c '%a %u %g' /home/cnb /etc/passwd"),
        "cnb\n/etc/passwd\n750 1001 1000\n644 1001 1000\n"
    );
    assert_ne!(sh(&sandbox, "echo x >> /etc/passwd").0, Exit::Code(0));
}

#[test]
fn devices_terminals_and_shared_memory_work() {
    let sandbox = start([]);
    let script = "head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo x >/dev/null; echo x > /dev/stderr; \
        ls /dev; head -c 1 /dev/zero >/dev/full";
    let (_, printed) = sh(&sandbox, script);
    let names = "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    assert!(printed.starts_with(&format!("4\n4\nx\n{names}")), "{printed}");
    assert!(printed.contains("No space left on device"), "{printed}");
}

#[test]
fn the_root_handle_reads_and_writes_what_commands_see() {
    let dir = world::owned_dir();
    let [low, up, work] = dirs(&dir, ["low", "up", "work"]);
    std::fs::write(low.join("f").as_path(), "low").unwrap();
    let upper = Some(Upper { dir: up, work });
    let sandbox = start([Mount::Overlay { guest: guest("/layers"), lowers: vec![low], upper }]);
    let root = sandbox.root().unwrap();
    assert_eq!(root.read(&guest("/layers/f"), 100).unwrap(), b"low");
    said(&sandbox, "echo from inside > /layers/inside; mkdir /tmp/d; echo in memory > /tmp/d/m");
    assert_eq!(root.read(&guest("/layers/inside"), 100).unwrap(), b"from inside\n");
    assert_eq!(root.read(&guest("/tmp/d/m"), 100).unwrap(), b"in memory\n");
    for path in ["/layers/made/deep/outside", "/tmp/made/outside"] {
        root.write(&guest(path), b"from outside", 0o644).unwrap();
        // The command may change what was made for it.
        assert_eq!(
            said(
                &sandbox,
                &format!("cat {path}; echo >> {path}; touch $(dirname {path})/more; stat -c %u {path}")
            ),
            "from outside1001\n"
        );
    }
    root.remove_tree(&guest("/layers/made")).unwrap();
    assert_eq!(said(&sandbox, "ls /layers"), "f\ninside\n");
    assert!(root.write(&guest("/usr/x"), b"", 0o644).is_err());
}

#[test]
fn links_that_commands_make_do_not_lead_the_root_handle_out() {
    let dir = world::owned_dir();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let sandbox = start([]);
    let path = secret.display();
    said(
        &sandbox,
        &format!(
            "cd /tmp; ln -s {path} a; ln -s ../../../../..{path} b; ln -s /proc/1/root c; ln -s /proc/self/root/..{path} d"
        ),
    );
    let root = sandbox.root().unwrap();
    for link in ["/tmp/a", "/tmp/b", "/tmp/c/etc/passwd", "/tmp/d"] {
        assert!(root.read(&guest(link), 100).is_err(), "{link}");
    }
    assert!(root.write(&guest("/tmp/a"), b"changed", 0o644).is_err());
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "secret");
}

#[test]
fn the_host_sees_none_of_the_mounts() {
    let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let sandbox = start([]);
    assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
    drop(sandbox);
}
