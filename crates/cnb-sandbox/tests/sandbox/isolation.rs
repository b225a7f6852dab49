//! What commands cannot see and cannot do.

use cnb_fs::HostPath;
use cnb_sandbox::{Exit, Mount, Network, Sandbox};

use crate::world::{self, config, guest, said, sh, start};

#[test]
fn probing_finds_that_sandboxes_can_be_had() {
    assert_eq!(cnb_sandbox::available(&world::init()), Ok(()));
}

#[test]
fn commands_are_the_given_user_without_any_rights() {
    let sandbox = start([]);
    assert_eq!(said(&sandbox, "id -u; id -g"), "1001\n1000\n");
    let status = said(&sandbox, "cat /proc/self/status");
    for (name, value) in [("CapEff", "0"), ("CapPrm", "0"), ("CapBnd", "0"), ("CapAmb", "0"), ("CapInh", "0")]
    {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        assert_eq!(
            line.split_whitespace().nth(1).unwrap().trim_start_matches('0'),
            value.trim_start_matches('0')
        );
    }
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
}

#[test]
fn nothing_of_the_host_is_there_but_what_is_mounted() {
    let sandbox = start([]);
    let found = said(&sandbox, "cd /; echo *");
    let mut names: Vec<_> = found.split_whitespace().collect();
    names.retain(|n| !["bin", "lib", "lib64", "sbin"].contains(n));
    assert_eq!(names, ["dev", "proc", "tmp", "usr"]);
    let own = std::env::current_exe().unwrap();
    assert_eq!(sh(&sandbox, &format!("ls {}", own.display())).0, Exit::Code(2));
}

#[test]
fn only_the_sandbox_s_own_processes_are_there() {
    let sandbox = start([]);
    assert_eq!(said(&sandbox, "cd /proc; echo [0-9]*; echo $$"), "1 2\n2\n");
}

#[test]
fn the_first_process_cannot_be_looked_into_or_ended() {
    let sandbox = start([]);
    let script = "cat /proc/1/environ; ls /proc/1/fd /proc/1/root; cat /proc/1/maps; kill -9 1; kill -TERM 1; kill -STOP 1; true";
    let found = said(&sandbox, script);
    assert_eq!(found.matches("Permission denied").count() + found.matches("cannot").count(), 6, "{found}");
    assert_eq!(said(&sandbox, "echo still here"), "still here\n");
}

#[test]
fn nothing_but_the_three_streams_is_open() {
    let sandbox = start([]);
    assert_eq!(
        said(&sandbox, "cd /proc/self/fd; echo *"),
        "0 1 2 3\n",
        "3 is the shell reading its directory"
    );
}

#[test]
fn read_only_means_read_only_for_the_file_system_and_the_root() {
    let sandbox = start([]);
    for script in ["touch /usr/x", "touch /x", "mkdir /dev/x", "rm /dev/null"] {
        let (exit, printed) = sh(&sandbox, script);
        assert_ne!(exit, Exit::Code(0), "{script}");
        assert!(printed.contains("Read-only file system"), "{script}: {printed}");
    }
    assert_eq!(said(&sandbox, "echo x > /dev/null; echo x > /dev/shm/x; cat /dev/shm/x"), "x\n");
}

#[test]
fn namespaces_mounts_and_tracing_are_refused() {
    let sandbox = start([]);
    // Each one fails, and with the refusal: a program that is missing would be a different failure.
    for script in [
        "unshare --user true",
        "unshare --mount true",
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /usr",
        "chroot /usr /bin/true",
        "hostname other",
    ] {
        let (exit, printed) = sh(&sandbox, script);
        assert!(matches!(exit, Exit::Code(code) if code != 0 && code < 126), "{script}: {exit:?} {printed}");
        let refused = ["not permitted", "permission denied", "must be"];
        assert!(refused.iter().any(|r| printed.to_lowercase().contains(r)), "{script}: {printed}");
    }
    assert_ne!(sh(&sandbox, "umount -l /dev/shm || umount /dev/shm").0, Exit::Code(0));
    assert!(said(&sandbox, "cat /proc/mounts").contains(" /dev/shm "));
}

#[test]
fn programs_with_the_set_user_id_bit_give_nothing() {
    let dir = world::owned_dir();
    let program = dir.path().join("id");
    std::fs::copy("/usr/bin/id", &program).unwrap();
    // Of root when the tests run as root, else of the ordinary user, who cannot give files away.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o6755);
    std::fs::set_permissions(&program, mode).unwrap();
    let host = HostPath::absolute(&program);
    let sandbox = start([Mount::Bind { host, guest: guest("/id"), writable: false }]);
    assert_eq!(said(&sandbox, "/id -u; /id -ru"), "1001\n1001\n");
}

#[test]
fn without_a_network_there_is_only_loopback_and_it_works() {
    let mut config = config();
    config.network = Network::None;
    let sandbox = Sandbox::start(&config).unwrap();
    let found = said(&sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1");
    let names: Vec<_> = found.split_whitespace().filter(|n| !is_fallback_tunnel(n)).collect();
    assert_eq!(names, ["lo"]);
    let routes = said(&sandbox, "cat /proc/net/route | tail -n +2; grep -c . /proc/net/fib_trie");
    assert!(!routes.contains("eth"), "{routes}");
    assert!(said(&sandbox, "cat /proc/net/fib_trie").contains("127.0.0.1"));
}

/// Some kernels put tunnels, which lead nowhere, into every new network namespace.
fn is_fallback_tunnel(name: &str) -> bool {
    ["sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0"]
        .contains(&name)
}

#[test]
fn host_name_is_the_given_one() {
    assert_eq!(said(&start([]), "uname -n"), "cnb\n");
}

#[test]
fn a_start_that_fails_names_the_step_and_leaves_nothing() {
    let mut config = config();
    let host = HostPath::absolute("/no/such/source");
    config.mounts.push(Mount::Bind { host, guest: guest("/x"), writable: false });
    let error = Sandbox::start(&config).unwrap_err();
    assert_eq!(error.to_string(), "failed to mount `/no/such/source` at `/x` for the sandbox");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("No such file or directory"), "{source}");
    config.init = HostPath::absolute("/no/init");
    assert_eq!(Sandbox::start(&config).unwrap_err().to_string(), "failed to start `/no/init`");
    config.init = HostPath::absolute("/bin/true");
    let error = Sandbox::start(&config).unwrap_err().to_string();
    assert!(error.contains("/bin/true"), "{error}");
}

#[test]
fn a_sandbox_for_the_host_s_root_is_refused() {
    let mut config = config();
    config.identity = cnb_sandbox::Identity::Host { host_uid: 0, host_gid: 0, uid: 0, gid: 0 };
    assert!(matches!(Sandbox::start(&config), Err(cnb_sandbox::SandboxError::Root)));
}
