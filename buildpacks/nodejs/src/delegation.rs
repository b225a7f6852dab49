//! Scripts of a repository's root that leave the work to one of its packages: `npm start -w api`, `turbo run start`,
//! `cd packages/web && yarn start`.

/// What such a script runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delegation {
    /// The package by name or folder; `None` for all that have the script.
    pub(crate) member: Option<String>,
    /// The script there.
    pub(crate) script: String,
}

/// Options that name a package, or its folder.
const NAMING: &[&str] =
    &["-w", "--workspace", "--filter", "-F", "--scope", "--prefix", "--cwd", "-C", "--dir", "--project"];
/// Options that mean all packages.
const ALL: &[&str] = &["-r", "--recursive", "-ws", "--workspaces"];

/// Reads a line that does nothing but run a script of packages.
pub(crate) fn read(line: &str) -> Option<Delegation> {
    let parts: Vec<&str> = line.split("&&").map(str::trim).collect();
    match parts[..] {
        [one] => command(one),
        [cd, one] => {
            let dir = cd.strip_prefix("cd ")?.trim();
            let inner = manager(&words(one), true)?;
            Some(Delegation { member: inner.member.or_else(|| Some(plain(dir))), ..inner })
        }
        _ => None,
    }
}

fn command(line: &str) -> Option<Delegation> {
    let words = words(line);
    match words.first()?.as_str() {
        "nx" => nx(&words[1..]),
        "turbo" | "lerna" => manager(&words, true),
        _ => manager(&words, false),
    }
}

/// The words of a command, without variables and the programs that only run another.
fn words(line: &str) -> Vec<String> {
    let is_prefix = |w: &&str| {
        matches!(*w, "npx" | "exec" | "cross-env" | "dotenv" | "--" | "bunx") || w.split_once('=').is_some()
    };
    if line.contains([';', '|', '>']) {
        return Vec::new();
    }
    line.split_whitespace().skip_while(is_prefix).map(|w| w.trim_matches(['"', '\'']).to_owned()).collect()
}

/// Reads the words of a package manager or task runner; `is_clear` says that they mean packages without naming them.
fn manager(words: &[String], is_clear: bool) -> Option<Delegation> {
    if !matches!(words.first()?.as_str(), "npm" | "yarn" | "pnpm" | "bun" | "turbo" | "lerna") {
        return None;
    }
    let mut member = None;
    let mut is_all = is_clear;
    let mut plain_words = Vec::new();
    let mut rest = words[1..].iter();
    while let Some(word) = rest.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
        if name == "--" {
            break;
        } else if NAMING.contains(&name) {
            member = value.or_else(|| rest.next().map(String::as_str)).map(plain);
        } else if ALL.contains(&name) {
            is_all = true;
        } else if !name.starts_with('-') {
            plain_words.push(word.as_str());
        }
    }
    let mut plain_words = plain_words.into_iter().peekable();
    match plain_words.peek() {
        Some(&"workspace") => {
            plain_words.next();
            member = plain_words.next().map(plain);
        }
        Some(&"workspaces") => {
            // `yarn workspaces foreach run start`, `yarn workspaces run start`.
            plain_words.next();
            plain_words.next_if(|w| *w == "foreach");
            is_all = true;
        }
        _ => {}
    }
    plain_words.next_if(|w| matches!(*w, "run" | "run-script" | "exec"));
    let script = plain_words.next()?.to_owned();
    (member.is_some() || is_all).then_some(Delegation { member, script })
}

/// Reads `nx serve api`, `nx run api:serve` and `nx run-many -t serve`.
fn nx(words: &[String]) -> Option<Delegation> {
    let mut plain_words = words.iter().map(String::as_str).filter(|w| !w.starts_with('-'));
    let first = plain_words.next()?;
    let (member, script) = match (first, plain_words.next()) {
        ("run", Some(task)) => {
            let (project, rest) = task.split_once(':')?;
            (Some(plain(project)), rest.split(':').next().unwrap_or(rest).to_owned())
        }
        ("run-many", _) => (None, "build".to_owned()),
        (task, project) => (project.map(plain), task.to_owned()),
    };
    Some(Delegation { member, script })
}

/// The name in a filter: `./apps/web`, `{apps/web}`, `@ours/web...`, `^web`.
fn plain(text: &str) -> String {
    let text = text.trim_matches(['"', '\'', '{', '}']).trim_end_matches("...").trim_start_matches("...");
    text.trim_start_matches(['^', '!']).trim_start_matches("./").trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{Delegation, read};

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str)>) {
        let expected = expected.map(|(member, script)| Delegation {
            member: Some(member.to_owned()).filter(|m| !m.is_empty()),
            script: script.to_owned(),
        });
        assert_eq!(read(line), expected, "{line}");
    }

    #[test]
    fn scripts_that_run_one_of_a_package_are_understood() {
        for line in [
            "npm start -w api",
            "npm run start --workspace=api",
            "npm --prefix api start",
            "npm --workspace api run start",
            "yarn workspace api start",
            "yarn workspace api run start",
            "yarn --cwd api start",
            "pnpm --filter api start",
            "pnpm -F ./api run start",
            "pnpm -C api start",
            "bun run --filter api start",
            "bun --filter=api start",
            "turbo run start --filter=api",
            "npx turbo start --filter api...",
            "lerna run start --scope=api",
            "cd api && npm start",
            "cd ./api/ && yarn run start",
            "NODE_ENV=production npm start -w api",
            "nx start api",
            "nx run api:start:production",
        ] {
            check(line, Some(("api", "start")));
        }
        for line in [
            "turbo run start",
            "turbo start",
            "pnpm -r start",
            "npm run start -ws",
            "yarn workspaces foreach run start",
        ] {
            check(line, Some(("", "start")));
        }
    }

    #[test]
    fn other_scripts_do_their_work_themselves() {
        for line in [
            "node server.js",
            "npm run server",
            "npm start",
            "next start",
            "cd api && node index.js",
            "npm start -w api | tee log",
            "node a.js && npm start -w api",
            "",
        ] {
            check(line, None);
        }
    }
}
