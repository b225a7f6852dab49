//! What the launcher costs: starting `/bin/true` plainly, and through the launcher.
//!
//! `cargo bench -p cnb-launcher`; for what ships, add `--profile parts --target x86_64-unknown-linux-gnu` (or
//! `-musl`) and `RUSTFLAGS=-Ctarget-feature=+crt-static`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const METADATA: &str = r#"
[[buildpacks]]
id = "example/node"
version = "1.0.0"
api = "0.12"

[[processes]]
type = "web"
command = ["/bin/true"]
args = []
direct = true
default = false
buildpack-id = "example/node"
"#;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 500)]
fn plain(bencher: divan::Bencher) {
    bencher.bench_local(|| run(Command::new("/bin/true").env_clear()));
}

#[divan::bench(sample_count = 500)]
fn launched(bencher: divan::Bencher) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let web = image(dir.path());
    bencher.bench_local(|| {
        let mut command = Command::new(&web);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("CNB_PLATFORM_API", "0.15");
        run(command.env("CNB_LAYERS_DIR", dir.path()).env("CNB_APP_DIR", dir.path()));
    });
}

/// Makes what the launcher finds in an image with one launch layer, and returns the link to start it by.
fn image(dir: &Path) -> PathBuf {
    for name in ["config", "process", "example_node/node/bin", "example_node/node/env.launch"] {
        written(std::fs::create_dir_all(dir.join(name)));
    }
    for (name, text) in
        [("config/metadata.toml", METADATA), ("example_node/node/env.launch/NODE_ENV", "production")]
    {
        let file = std::fs::File::create(dir.join(name));
        written(file.and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes())));
    }
    let web = dir.join("process/web");
    written(std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_launcher"), &web));
    web
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).status().expect("the program can be started");
    assert!(status.success());
}

fn written(result: std::io::Result<()>) {
    result.expect("the temporary directory can be written");
}
