//! The start script of `package.json`: which one, what it runs, and what that needs.

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
    "eleventy",
    "@11ty/eleventy",
    "hexo server",
    "brunch watch",
    "polymer serve",
    "stencil build",
    "sapper dev",
    "umi dev",
    "max dev",
    "vitepress dev",
    "vuepress dev",
    "docusaurus-start",
    "rsbuild dev",
    "rspack serve",
    "rspack dev",
    "quasar dev",
    "ionic serve",
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
/// Commands that show what a framework built as its server; the built server itself needs less.
const PREVIEWS: &[&str] = &[
    "ng serve",
    "ng s",
    "nuxt",
    "nuxi",
    "nitro",
    "nitropack",
    "vinxi",
    "vite",
    "astro dev",
    "astro preview",
    "svelte-kit preview",
];
/// Scripts for production, where `start` is one for development.
const PRODUCTION: &[&str] = &["start:prod", "start:production", "serve:prod", "start-prod", "prod"];
/// Programs of package managers.
const MANAGERS: &[&str] = &["npm", "npx", "yarn", "pnpm", "bun", "bunx"];

/// Commands of Yarn and pnpm themselves; other words are programs of the packages.
const COMMANDS: &[&str] = &[
    "add",
    "build",
    "cache",
    "config",
    "create",
    "deploy",
    "dlx",
    "exec",
    "i",
    "init",
    "install",
    "link",
    "prune",
    "rebuild",
    "recursive",
    "remove",
    "set",
    "start",
    "test",
    "up",
    "update",
    "upgrade",
    "why",
    "workspace",
    "workspaces",
];

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
            _ => lines.push(without_manager(part, package).unwrap_or_else(|| part.to_owned())),
        }
    }
    lines.retain(|l| !l.is_empty());
    lines.join(" && ")
}

/// Writes a command without the package manager that only runs it, which no image has: `yarn node a.js`,
/// `pnpm exec next start`, `pnpm with-env next start` of a script `with-env`.
fn without_manager(command: &str, package: &Package) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let (manager, rest) = words.split_first().filter(|(m, _)| matches!(**m, "npm" | "yarn" | "pnpm"))?;
    let rest = rest.strip_prefix(&["run"]).unwrap_or(rest);
    let (name, args) = rest.split_first().filter(|(name, _)| !name.starts_with('-'))?;
    let args = args.strip_prefix(&["--"]).unwrap_or(args);
    let line = match package.script(name) {
        Some(text) if !args.is_empty() && !text.contains(['&', '|', ';']) => text,
        None if *name == "exec" && !args.is_empty() => "",
        None if *manager != "npm" && !COMMANDS.contains(name) => name,
        _ => return None,
    };
    Some(format!("{line} {}", args.join(" ")).trim().to_owned())
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

    /// Returns whether it is for developers, who want their changes to be seen.
    pub fn is_for_development(&self) -> bool {
        commands(&self.line).any(|c| starts_with_any(&c, DEVELOPMENT))
    }

    /// Returns whether it shows what a framework built as its server.
    pub fn previews(&self) -> bool {
        commands(&self.line)
            .any(|c| PREVIEWS.iter().any(|p| c.starts_with(&p.split(' ').collect::<Vec<_>>())))
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

#[cfg(test)]
mod tests {
    use super::{Lock, Package, script};

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
    fn a_manager_that_only_runs_a_command_is_left_out() {
        check(r#"{"start":"yarn node server.js"}"#, &["node", "server.js"]);
        check(r#"{"start":"pnpm exec next start"}"#, &["next", "start"]);
        check(r#"{"start":"npm exec -- next start"}"#, &["next", "start"]);
        check(r#"{"start":"yarn next start"}"#, &["next", "start"]);
        check(
            r#"{"start":"pnpm with-env next start","with-env":"dotenv -e .env --"}"#,
            &["dotenv", "-e", ".env", "--", "next", "start"],
        );
        check(r#"{"start":"npm run serve -- -p 1","serve":"node a.js"}"#, &["node", "a.js", "-p", "1"]);
        check(r#"{"start":"yarn workspace api start"}"#, &["yarn", "workspace", "api", "start"]);
        check(r#"{"start":"pnpm --filter api start"}"#, &["pnpm", "--filter", "api", "start"]);
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
    fn previews_of_a_built_server_are_told_from_servers() {
        let previews =
            |line: &str| script(&package(&format!(r#"{{"start":"{line}"}}"#)), &[]).unwrap().previews();
        assert!(previews("nuxt preview") && previews("PORT=1 nuxi start") && previews("vite preview"));
        assert!(!previews("node .output/server/index.mjs") && !previews("next start"));
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
}
