//! Before the first request a client does nothing: the lifecycle drops its privileges in between, which only
//! works while there is one thread. Alone in its file, since other tests have threads.

use cnb_registry::{Credentials, Registry, Settings};
use cnb_spec::env::Env;

/// The names of this process's threads.
fn threads() -> Vec<String> {
    let tasks = fs_err::read_dir("/proc/self/task").expect("a Linux process");
    let name = |dir: std::path::PathBuf| fs_err::read_to_string(dir.join("comm")).unwrap_or_default();
    tasks.map(|task| name(task.expect("a thread").path()).trim().to_owned()).collect()
}

#[test]
fn making_a_client_starts_no_thread() {
    let before = threads();
    let settings = Settings::from_env(&Env::new(), Credentials::default());
    let registry = Registry::new(settings).unwrap();
    assert_eq!(threads(), before);

    let server = cnb_testkit::registry::Registry::start(cnb_testkit::registry::Options::default()).unwrap();
    registry.check_read(&format!("{}/some/app:v1", server.host()).parse().unwrap()).unwrap();
    assert!(threads().iter().any(|name| name == "registry"));
    drop(registry);
    let gone = || !threads().iter().any(|name| name == "registry");
    assert!(cnb_testkit::wait_for(std::time::Duration::from_secs(10), gone), "{:?}", threads());
}
