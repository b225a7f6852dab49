//! What an image starts: the app's start script, a file by its usual name, or the server of a built front-end.

use std::path::Path;

use cnb_buildpack::Process;

use crate::lock::Lock;
use crate::package::Package;

/// Commands that serve a front-end to its developers; a built one is served by a server for files.
const FRONT_END: &[&str] = &[
    "react-scripts start",
    "react-app-rewired start",
    "craco start",
    "ng serve",
    "ng s",
    "vite",
    "vite dev",
    "vite serve",
    "vite preview",
    "vue-cli-service serve",
    "webpack serve",
    "webpack-dev-server",
    "parcel",
    "gatsby develop",
    "gatsby serve",
    "docusaurus start",
    "docusaurus serve",
    "astro dev",
    "astro preview",
    "snowpack dev",
    "live-server",
    "lite-server",
    "http-server",
    "ember serve",
    "preact watch",
    "parcel serve",
];
/// Commands for development that have a better one beside them, if there is a script for production.
const DEVELOPMENT: &[&str] = &[
    "nodemon",
    "ts-node",
    "ts-node-dev",
    "tsnd",
    "tsx watch",
    "next dev",
    "nest start",
    "nuxt dev",
    "babel-node",
    "node --watch",
    "remix dev",
    "strapi develop",
];
/// Scripts for production, where `start` is one for development.
const PRODUCTION: &[&str] = &["start:prod", "start:production", "serve:prod", "start-prod", "prod"];
/// Files that frameworks build as their server.
const BUILT_SERVERS: &[&str] = &[".output/server/index.mjs", "dist/server/entry.mjs"];
/// Files that are started where nothing says what to start.
const FILES: &[&str] = &[
    "server.js",
    "index.js",
    "app.js",
    "main.js",
    "server.mjs",
    "index.mjs",
    "app.mjs",
    "server.cjs",
    "index.cjs",
    "src/server.js",
    "src/index.js",
    "src/app.js",
    "src/main.js",
    "bin/www",
];
/// Files that compilers make of the ones above.
const COMPILED: &[&str] = &[
    "dist/main.js",
    "dist/server.js",
    "dist/index.js",
    "dist/app.js",
    "dist/src/main.js",
    "dist/src/index.js",
    "build/server.js",
    "build/index.js",
    "build/app.js",
];
/// Files that are started as they are written, by a runtime that reads TypeScript.
const TYPESCRIPT: &[&str] = &[
    "src/index.ts",
    "index.ts",
    "src/server.ts",
    "server.ts",
    "src/main.ts",
    "main.ts",
    "src/app.ts",
    "app.ts",
    "index.tsx",
    "src/index.tsx",
];
/// Folders that build tools leave a front-end in.
const SITES: &[&str] =
    &["dist", "build", "out", "_site", ".output/public", "build/client", "dist/client", "public"];
/// Packages that make an app a server.
const SERVERS: &[&str] = &[
    "express",
    "fastify",
    "koa",
    "@hapi/hapi",
    "restify",
    "polka",
    "hono",
    "@hono/node-server",
    "h3",
    "@nestjs/core",
    "next",
    "socket.io",
    "ws",
];
/// Programs of package managers.
const MANAGERS: &[&str] = &["npm", "npx", "yarn", "pnpm", "bun", "bunx"];

/// A start script, with the scripts that it runs in their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its name.
    pub name: String,
    /// The line for a shell.
    pub line: String,
}

/// Finds the start script; `done` are the scripts that the build has run.
pub fn script(package: &Package, done: &[String]) -> Option<Script> {
    let start = package.script("start");
    let for_development = |line: &str| {
        commands(line).any(|c| starts_with_any(&c, FRONT_END) || starts_with_any(&c, DEVELOPMENT))
    };
    let start_line = start.map(|_| expand(package, "start", done, 0));
    let better = || PRODUCTION.iter().copied().find(|name| package.script(name).is_some());
    let name = match &start_line {
        Some(line) if for_development(line) => better().unwrap_or("start"),
        Some(_) => "start",
        None => better()?,
    };
    let line = match start_line {
        Some(line) if name == "start" => line,
        _ => expand(package, name, done, 0),
    };
    (!line.is_empty()).then(|| Script { name: name.to_owned(), line })
}

/// Starts a file of TypeScript that nothing was made of: by Bun where that is the app's, or by a package that the app
/// depends on.
pub fn typescript(package: &Package, app: &Path, by_bun: bool) -> Option<Script> {
    let named = ["module", "main"].into_iter().filter_map(|field| package.text(field));
    let mut files = named.filter(|f| is_typescript(f)).chain(TYPESCRIPT.iter().copied());
    let file = files.find(|f| app.join(f).is_file())?;
    let runtimes =
        [("tsx", "tsx"), ("ts-node", "ts-node"), ("@swc-node/register", "node -r @swc-node/register")];
    let runtime =
        if by_bun { "bun run" } else { runtimes.iter().find(|(name, _)| package.depends_on(name))?.1 };
    Some(Script { name: "start".to_owned(), line: format!("{runtime} {file}") })
}

fn is_typescript(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|e| e == "ts" || e == "tsx")
}

/// Reads the process types of a `Procfile`; the buildpack for it reports what is wrong with one.
pub fn procfile(text: &str, package: &Package, done: &[String]) -> Vec<(String, Script)> {
    let entries = text.lines().filter_map(|line| {
        let (kind, command) = line.split_once(':').filter(|_| !line.trim_start().starts_with('#'))?;
        Some((kind.trim().to_owned(), command.trim()))
    });
    entries
        .map(|(kind, command)| {
            // What npm is asked to run counts as well as npm itself.
            let inner = called(command).map(|name| expand(package, name, done, 0)).unwrap_or_default();
            let line = format!("{command}\n{inner}");
            (kind.clone(), Script { name: kind, line })
        })
        .collect()
}

/// Writes a script with its `pre` script and with those that it runs through npm in their places.
fn expand(package: &Package, name: &str, done: &[String], depth: usize) -> String {
    let Some(text) = package.script(name) else { return String::new() };
    let before = format!("pre{name}");
    let parts = package.script(&before).into_iter().chain([text]);
    let mut lines = Vec::new();
    for part in parts.flat_map(|p| p.split("&&")).map(str::trim).filter(|p| !p.is_empty()) {
        match called(part) {
            // The result of the build is in the image.
            Some(inner) if done.iter().any(|d| d == inner) => {}
            Some(inner) if depth < 8 && package.script(inner).is_some() => {
                lines.push(expand(package, inner, done, depth + 1));
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines.retain(|l| !l.is_empty());
    lines.join(" && ")
}

/// Returns the script that a command runs, if it does nothing else.
fn called(command: &str) -> Option<&str> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["npm" | "yarn" | "pnpm" | "bun", "run" | "run-script", name] => Some(name),
        ["npm" | "yarn" | "pnpm", "start"] => Some("start"),
        ["yarn" | "pnpm", name] if !name.starts_with('-') => Some(name),
        _ => None,
    }
    .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_:.".contains(c)))
}

/// Lists the commands of a line without what stands before their program: variables, `cross-env`, `npx`, `exec`.
fn commands(line: &str) -> impl Iterator<Item = Vec<&str>> {
    line.split([';', '|', '&', '\n']).filter_map(|command| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let is_prefix = |w: &&str| {
            matches!(*w, "cross-env" | "cross-env-shell" | "npx" | "exec" | "env" | "dotenv" | "--")
                || w.split_once('=')
                    .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        };
        let first = words.iter().position(|w| !is_prefix(w))?;
        Some(words[first..].to_vec())
    })
}

/// Returns whether a command starts with the words of one of `known`; a program alone must have no subcommand.
fn starts_with_any(command: &[&str], known: &[&str]) -> bool {
    known.iter().any(|k| {
        let words: Vec<&str> = k.split(' ').collect();
        let alone = words.len() == 1 && FRONT_END.contains(k);
        command.starts_with(&words)
            && (!alone
                || command.get(1).is_none_or(|next| next.starts_with('-') || next.contains(['.', '/'])))
    })
}

impl Script {
    /// Returns whether it serves a front-end to its developers.
    pub fn serves_front_end(&self) -> bool {
        commands(&self.line).any(|c| starts_with_any(&c, FRONT_END))
    }

    /// Returns whether it runs a package manager.
    pub fn needs_npm(&self) -> bool {
        self.line
            .split([';', '|', '&', '\n'])
            .any(|command| command.split_whitespace().any(|w| w == "npm" || w == "npx"))
    }

    /// Returns a package manager that it runs and that no image has.
    pub fn foreign_manager(&self) -> Option<&str> {
        let programs = commands(&self.line).filter_map(|c| c.first().copied());
        programs.into_iter().find(|p| MANAGERS.contains(p) && *p != "npm" && *p != "npx")
    }

    /// Returns the packages that it needs and that are development dependencies.
    ///
    /// `provider` names the development dependency that brings a command, where the lock file does not tell.
    pub fn dev_tools(
        &self,
        package: &Package,
        lock: &Lock,
        provider: &dyn Fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let mut found: Vec<String> = commands(&self.line)
            .flat_map(|c| words_that_load(&c))
            .filter_map(|word| {
                lock.dev_only_provider(&word)
                    .or_else(|| provider(&word))
                    .or_else(|| Some(package_of(&word)).filter(|p| package.is_dev_only(p)).map(str::to_owned))
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Makes the process: without a shell where the line is a plain command.
    pub fn process(&self) -> Process {
        let words: Vec<&str> = self.line.split_whitespace().collect();
        let plain = |w: &&str| w.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c));
        let is_builtin = |w: &str| {
            matches!(w, "cd" | "export" | "exec" | "source" | "." | "set" | "eval" | "if" | "ulimit" | "wait")
        };
        match words.first() {
            Some(first) if words.iter().all(plain) && !first.contains('=') && !is_builtin(first) => {
                Process::new("web", &words)
            }
            _ => Process::shell("web", &self.line),
        }
    }
}

/// The program of a command and the modules that it makes Node.js load first.
fn words_that_load(command: &[&str]) -> Vec<String> {
    let inside = |word: &str| match word.split_once("node_modules/") {
        Some((_, inside)) => inside.trim_start_matches(".bin/").to_owned(),
        None => word.to_owned(),
    };
    let mut found: Vec<String> = command.first().map(|w| inside(w)).into_iter().collect();
    let mut words = command.iter().skip(1).peekable();
    while let Some(word) = words.next() {
        let value = match word.split_once('=') {
            Some(("--require" | "--import" | "--loader" | "--experimental-loader", value)) => Some(value),
            _ if matches!(*word, "-r" | "--require" | "--import" | "--loader" | "--experimental-loader") => {
                words.peek().map(|w| **w)
            }
            _ => None,
        };
        found.extend(value.map(str::to_owned));
        // `node node_modules/.bin/tool` loads it, too.
        if word.contains("node_modules/") {
            found.push(inside(word));
        }
    }
    found
}

/// The package that a program or module most likely is from.
fn package_of(word: &str) -> &str {
    match word {
        "tsc" => "typescript",
        "nest" => "@nestjs/cli",
        "ng" => "@angular/cli",
        "vue-cli-service" => "@vue/cli-service",
        "babel-node" => "@babel/node",
        "remix-serve" => "@remix-run/serve",
        "tsnd" => "ts-node-dev",
        "craco" => "@craco/craco",
        "run-s" | "run-p" => "npm-run-all",
        _ => {
            let end = word.match_indices('/').nth(usize::from(word.starts_with('@'))).map(|(i, _)| i);
            &word[..end.unwrap_or(word.len())]
        }
    }
}

/// What to start in an app without a start script.
pub fn file(package: &Package, app: &Path) -> Option<String> {
    let is_file = |path: &str| app.join(path).is_file();
    if let Some(built) = BUILT_SERVERS.iter().find(|p| is_file(p)) {
        return Some((*built).to_owned());
    }
    // What SvelteKit's adapter for Node.js makes.
    if is_file("build/handler.js") && is_file("build/index.js") {
        return Some("build/index.js".to_owned());
    }
    let main = package.text("main").map(|m| m.trim_start_matches("./").trim_end_matches('/'));
    let main = main.filter(|m| !m.starts_with('/') && !m.split('/').any(|part| part == ".."));
    let main = main.and_then(|main| {
        [main.to_owned(), format!("{main}.js"), format!("{main}/index.js")].into_iter().find(|p| is_file(p))
    });
    main.filter(|m| is_script(m)).or_else(|| FILES.iter().find(|p| is_file(p)).map(|p| (*p).to_owned()))
}

/// Returns whether an app has a server of its own, so that its site is not all of it.
pub fn is_server(package: &Package, app: &Path) -> bool {
    SERVERS.iter().any(|name| package.depends_on(name))
        || BUILT_SERVERS
            .iter()
            .chain(&["build/handler.js", "server.js", "server.mjs"])
            .any(|p| app.join(p).is_file())
}

/// What a compiler made, where nothing else is to start.
pub fn compiled_file(app: &Path) -> Option<&'static str> {
    COMPILED.iter().copied().find(|p| app.join(p).is_file())
}

fn is_script(path: &str) -> bool {
    Path::new(path).extension().is_none_or(|e| e == "js" || e == "mjs" || e == "cjs")
}

/// Finds the folder of a built front-end.
pub fn site(app: &Path) -> Option<String> {
    let has_index = |dir: &str| app.join(dir).join("index.html").is_file();
    if let Some(dir) = SITES.iter().find(|dir| has_index(dir)) {
        return Some((*dir).to_owned());
    }
    // Angular has a folder for each project of a workspace.
    let mut inner: Vec<String> = fs_err::read_dir(app.join("dist"))
        .ok()?
        .filter_map(Result::ok)
        .filter_map(|e| Some(format!("dist/{}", e.file_name().to_str()?)))
        .flat_map(|dir| [format!("{dir}/browser"), dir])
        .filter(|dir| has_index(dir))
        .collect();
    inner.sort();
    inner.into_iter().next()
}

/// Returns whether a site is one page that shows every path: it has one page and none for what is missing.
pub fn is_single_page(site: &Path) -> bool {
    let Ok(entries) = fs_err::read_dir(site) else { return false };
    let pages = entries.filter_map(Result::ok).filter(|e| e.path().extension().is_some_and(|x| x == "html"));
    pages.count() == 1
}

#[cfg(test)]
mod tests {
    use super::{Lock, Package, Path, file, is_single_page, script, site, typescript};

    fn package(scripts: &str) -> Package {
        Package::parse(&format!(
            r#"{{"scripts":{scripts},"devDependencies":{{"typescript":"5","ts-node":"1","tsx":"1","@nestjs/cli":"1"}}}}"#
        ))
        .unwrap()
    }

    #[track_caller]
    fn check(scripts: &str, expected: &[&str]) {
        let found = script(&package(scripts), &["build".to_owned()]).unwrap();
        assert_eq!(found.process().command, expected, "{scripts}");
    }

    #[test]
    fn a_plain_command_needs_no_shell() {
        check(r#"{"start":"node server.js --port 1"}"#, &["node", "server.js", "--port", "1"]);
        check(r#"{"start":"next start"}"#, &["next", "start"]);
        check(r#"{"start":"PORT=1 node a.js"}"#, &["bash", "-c", "PORT=1 node a.js"]);
        check(r#"{"start":"node a.js > log"}"#, &["bash", "-c", "node a.js > log"]);
        check(r#"{"start":"node a.js $X"}"#, &["bash", "-c", "node a.js $X"]);
    }

    #[test]
    fn scripts_of_scripts_stand_in_their_places() {
        check(r#"{"start":"npm run serve","serve":"node a.js"}"#, &["node", "a.js"]);
        check(r#"{"prestart":"node m.js","start":"node a.js"}"#, &["bash", "-c", "node m.js && node a.js"]);
        check(r#"{"start":"npm run build && node a.js","build":"tsc"}"#, &["node", "a.js"]);
        check(r#"{"prestart":"npm run build","start":"node a.js","build":"tsc"}"#, &["node", "a.js"]);
        check(r#"{"start":"npm run start"}"#, &["npm", "run", "start"]);
    }

    #[test]
    fn a_script_for_production_is_better_than_one_for_development() {
        check(r#"{"start":"nest start","start:prod":"node dist/main"}"#, &["node", "dist/main"]);
        check(r#"{"start":"nodemon a.js","serve:prod":"node a.js"}"#, &["node", "a.js"]);
        check(r#"{"start":"node a.js","start:prod":"node b.js"}"#, &["node", "a.js"]);
        check(r#"{"start":"nodemon a.js"}"#, &["nodemon", "a.js"]);
    }

    #[test]
    fn tools_of_development_that_a_start_needs_are_named() {
        let tools = |line: &str| {
            let package = package(&format!(r#"{{"start":"{line}"}}"#));
            script(&package, &[]).unwrap().dev_tools(&package, &Lock::default(), &|_| None)
        };
        assert_eq!(tools("tsc && node dist/a.js"), ["typescript"]);
        assert_eq!(tools("NODE_ENV=x ts-node src/a.ts"), ["ts-node"]);
        assert_eq!(tools("node -r ts-node/register a.ts"), ["ts-node"]);
        assert_eq!(tools("node --import=tsx a.ts"), ["tsx"]);
        assert_eq!(tools("node ./node_modules/.bin/nest start"), ["@nestjs/cli"]);
        assert_eq!(tools("node a.js"), [""; 0]);
    }

    #[test]
    fn typescript_is_started_by_what_the_app_has_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let line = |package: &str, by_bun| {
            typescript(&Package::parse(package).unwrap(), dir.path(), by_bun).map(|s| s.line)
        };
        assert_eq!(line("{}", true), None);
        fs_err::create_dir(dir.path().join("src")).unwrap();
        fs_err::write(dir.path().join("src/index.ts"), "").unwrap();
        assert_eq!(line("{}", true).as_deref(), Some("bun run src/index.ts"));
        assert_eq!(line("{}", false), None);
        assert_eq!(line(r#"{"devDependencies":{"tsx":"4"}}"#, false).as_deref(), Some("tsx src/index.ts"));
    }

    #[test]
    fn servers_for_developers_are_told_from_others() {
        let serves = |line: &str| {
            script(&package(&format!(r#"{{"start":"{line}"}}"#)), &[]).unwrap().serves_front_end()
        };
        for line in ["vite", "vite --host", "react-scripts start", "cross-env A=1 ng serve", "vite preview"] {
            assert!(serves(line), "{line}");
        }
        for line in ["vite build", "node vite.js", "next start", "serve -s build"] {
            assert!(!serves(line), "{line}");
        }
    }

    #[test]
    fn files_are_started_in_the_documented_order() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path();
        let main = Package::parse(r#"{"main":"./lib/main"}"#).unwrap();
        assert_eq!(file(&main, app), None);
        for (name, expected) in [
            ("app.js", "app.js"),
            ("index.js", "index.js"),
            ("server.js", "server.js"),
            ("lib/main.js", "lib/main.js"),
        ] {
            fs_err::create_dir_all(app.join(name).parent().unwrap()).unwrap();
            fs_err::write(app.join(name), "").unwrap();
            assert_eq!(file(&main, app).as_deref(), Some(expected));
        }
        assert_eq!(file(&Package::default(), app).as_deref(), Some("server.js"));
        assert_eq!(file(&Package::default(), Path::new("/nothing")), None);
    }

    #[test]
    fn a_built_front_end_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(site(dir.path()), None);
        let inner = dir.path().join("dist/shop/browser");
        fs_err::create_dir_all(&inner).unwrap();
        fs_err::write(inner.join("index.html"), "").unwrap();
        assert_eq!(site(dir.path()).as_deref(), Some("dist/shop/browser"));
        assert!(is_single_page(&inner));
        fs_err::write(inner.join("404.html"), "").unwrap();
        assert!(!is_single_page(&inner));
    }
}
