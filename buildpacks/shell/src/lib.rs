//! Applications without a build: an executable `start.sh` is what the image starts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use cnb_buildpack::{BuildContext, Buildpack, DetectContext, Detection, Failure, Intent, Process};

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Shell;

/// The script that is looked for.
const FILE: &str = "start.sh";

impl Buildpack for Shell {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        let script = cx.app_dir.join(FILE);
        if !is_executable(&script) {
            return Ok(Detection::would_need(if script.is_file() {
                "a `start.sh` that is executable (`chmod +x start.sh`)"
            } else {
                "an executable `start.sh` in the app's folder"
            }));
        }
        let intent = Intent {
            because: format!("an executable `{FILE}`"),
            processes: [("web".to_owned(), format!("./{FILE}"))].into(),
            ..Intent::default()
        };
        Detection::intends("shell", &intent)
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        cx.log.step(format!("web: ./{FILE}"));
        // Without a shell in between: the script's own first line says what reads it.
        cx.write_launch(vec![Process::new("web", &[&format!("./{FILE}")]).default()])
    }
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
