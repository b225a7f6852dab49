//! Process types from a `Procfile`, over those of every other buildpack.
//!
//! The buildpack stands last in its group: a process type that it declares replaces an earlier buildpack's of the
//! same name (requirement C67).

pub mod parse;

use cnb_buildpack::{BuildContext, Buildpack, DetectContext, Detection, Failure, Intent, Process};

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Procfile;

/// The file that is looked for.
const FILE: &str = "Procfile";

impl Buildpack for Procfile {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        let path = cx.app_dir.join(FILE);
        if !path.is_file() {
            return Ok(Detection::would_need("a file `Procfile` with lines such as `web: ./start.sh`"));
        }
        // What is wrong with the file is for the build to say, which lists all of it.
        let entries = parse::parse(&fs_err::read(path)?).unwrap_or_default();
        let intent = Intent {
            because: format!("a `{FILE}`"),
            processes: entries.into_iter().map(|entry| (entry.kind, entry.line)).collect(),
            ..Intent::default()
        };
        Detection::intends("procfile", &intent)
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        let bytes = fs_err::read(cx.app_dir.join(FILE))?;
        let entries = parse::parse(&bytes).map_err(|problems| {
            problems
                .into_iter()
                .fold(Failure::new("failed to read the process types in `Procfile`"), Failure::because)
                .next("write each process type as `<type>: <command>` on a line of its own")
        })?;
        if entries.is_empty() {
            cx.log.warning("`Procfile` has no process types");
        }
        let default = parse::default_type(&entries).map(str::to_owned);
        let processes = entries.into_iter().map(|entry| {
            let process = Process::shell(&entry.kind, &entry.line);
            let is_default = default.as_ref() == Some(&entry.kind);
            cx.log.step(format!(
                "{}{}: {}",
                entry.kind,
                if is_default { " (default)" } else { "" },
                entry.line
            ));
            if is_default { process.default() } else { process }
        });
        cx.write_launch(processes.collect())
    }
}
