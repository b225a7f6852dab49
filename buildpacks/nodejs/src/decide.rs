//! Decides what the image starts, by what the build left.

use cnb_buildpack::Failure;
use cnb_static::settings::Settings;

use crate::app::App;
use crate::nx::Built;
use crate::script::{self, Script};
use crate::{manager, next, start};

/// What the image starts.
pub(crate) enum Start {
    Script(Script),
    File(String),
    Site {
        root: String,
        single_page: bool,
    },
    /// What the `Procfile` says, which is another buildpack's to read.
    Procfile,
}

impl App<'_> {
    /// Decides what the image starts, by what is there after the build.
    pub(crate) fn start(&self) -> Result<Start, Failure> {
        let (app, package) = (&self.dir(), self.package());
        let site = |root: String| {
            let single_page = start::is_single_page(&app.join(&root));
            let root = self.target.dir.join(root).to_string_lossy().into_owned();
            Start::Site { root, single_page }
        };
        if let Some(asked) = Settings::read(app, &self.cx.env).root {
            let root = cnb_static::root::find(app, Some(&asked))?;
            return Ok(site(root.unwrap_or_else(|| ".".to_owned())));
        }
        if let Some(built) = self.target.nx.as_ref().and_then(|project| project.built(app)) {
            return Ok(match built {
                Built::Site(root) => site(root.to_string_lossy().into_owned()),
                Built::Program(path) => Start::File(path.to_string_lossy().into_owned()),
                Built::Next(dir) => {
                    let line = format!("next start {}", dir.display());
                    Start::Script(Script { name: "start".to_owned(), line })
                }
            });
        }
        let script = script::script(package, &self.done);
        let has_own_web = self.procfile.iter().any(|(kind, _)| kind == "web");
        let built_site = || start::site(app).filter(|_| !self.steps.is_empty() && !has_own_web);
        if let Some(server) = next::standalone(app, &self.target.dir)?.filter(|_| !has_own_web) {
            self.cx.log.step("Next.js made a server that stands alone: it is started, and needs no packages");
            return Ok(Start::File(server.to_string_lossy().into_owned()));
        }
        if let Some(script) = script {
            if let Some(root) = next::exported(app, &script.line).filter(|_| !has_own_web) {
                return Ok(site(root.to_owned()));
            }
            if let Some(moved) = start::moved(app, &script.line) {
                return Ok(Start::File(moved));
            }
            let built = start::built_server(app).filter(|_| script.previews() && !has_own_web);
            if let Some(built) = built {
                self.cx.log.step(format!("`{}` shows what was built; its server is started", script.line));
                return Ok(Start::File(built));
            }
            if let Some(server) = start::built_server(app).filter(|s| script.line == format!("node {s}")) {
                return Ok(Start::File(server));
            }
            return Ok(match built_site() {
                Some(root) if script.serves_front_end() => {
                    self.cx.log.step(format!(
                        "`{}` is a server for developers; the built front-end is served in its place",
                        script.line
                    ));
                    site(root)
                }
                _ => Start::Script(script),
            });
        }
        if let Some(root) = built_site().filter(|_| !start::is_server(package, app)) {
            return Ok(site(root));
        }
        if let Some(file) = start::file(package, app) {
            return Ok(Start::File(file));
        }
        if !self.procfile.is_empty() {
            return Ok(Start::Procfile);
        }
        if let Some(root) = built_site() {
            return Ok(site(root));
        }
        if let Some(file) = start::compiled_file(app) {
            return Ok(Start::File(file.to_owned()));
        }
        if package.depends_on("next") && app.join(".next").is_dir() {
            return Ok(Start::Script(Script { name: "start".to_owned(), line: "next start".to_owned() }));
        }
        let by_bun = self.tool.is_some_and(|tool| tool.manager.kind == manager::Kind::Bun);
        if let Some(script) = start::typescript(package, app, by_bun, self.runtime.version) {
            return Ok(Start::Script(script));
        }
        if let Some(root) = cnb_static::root::find(app, None)? {
            return Ok(site(root));
        }
        Err(Failure::new("package.json does not say what to start")
            .because("there is no script `start`, no `main` that exists, no server.js, index.js or app.js, and no built site")
            .next(
                "add a script `start` to package.json, such as `node server.js`, or a `Procfile`; for TypeScript as it is \
                 ask for Node.js 22.18 or later in `engines.node`",
            ))
    }
}
