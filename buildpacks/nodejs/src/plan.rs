//! Which scripts and tools a build runs, and where.

use std::fmt;
use std::path::{Path, PathBuf};

use cnb_buildpack::Failure;
use cnb_buildpack::context::is_on;

use crate::delegation;
use crate::nx;
use crate::package::{AFTER_INSTALL, Package};
use crate::workspaces::{Member, Target};

/// What an install script does that has no place in a build of an image.
const USELESS: &[&str] =
    &["husky", "lefthook", "simple-git-hooks", "only-allow", "yarn-deduplicate", "check-engine"];
/// Scripts that hosts run in place of `build`, and `build` itself: the first that is written down counts.
const BUILDS: &[&str] = &["heroku-postbuild", "gcp-build", "build"];

/// One thing that a build does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A script of the `package.json` in a folder of the app.
    Script {
        /// The folder; empty for the app's own.
        dir: PathBuf,
        /// The script.
        name: String,
    },
    /// A program of the packages that are installed.
    Tool {
        /// The folder that it runs in; empty for the app's own.
        dir: PathBuf,
        /// The program.
        program: String,
        /// Its arguments.
        args: Vec<String>,
    },
}

impl Step {
    /// The folder of the app that it runs in.
    pub fn dir(&self) -> &Path {
        match self {
            Self::Script { dir, .. } | Self::Tool { dir, .. } => dir,
        }
    }

    /// The script that it runs, if it does.
    pub fn script(&self) -> Option<&str> {
        match self {
            Self::Script { name, .. } => Some(name),
            Self::Tool { .. } => None,
        }
    }

    /// Whether it is what a package wants to be done once packages are installed, which may change these.
    pub fn is_after_install(&self) -> bool {
        match self {
            Self::Script { name, .. } => AFTER_INSTALL.contains(&name.as_str()),
            Self::Tool { program, .. } => program == PRISMA,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Script { name, .. } => write!(f, "npm run {name}")?,
            Self::Tool { program, args, .. } => write!(f, "{program} {}", args.join(" "))?,
        }
        let dir = self.dir();
        if dir == Path::new("") { Ok(()) } else { write!(f, " (in {})", dir.display()) }
    }
}

/// The program that makes the client of a database; its package does so only where the app's schema is in reach.
const PRISMA: &str = "prisma";

/// Lists what a build does for a target: the scripts of the whole app that belong to it, then its own and those of
/// the packages that it needs, unless the app's own build script does that.
pub fn plan(app: &Path, root: &Package, target: &Target, asked: Option<&str>) -> Result<Vec<Step>, Failure> {
    let at = |dir: &Path, names: Vec<String>| {
        names.into_iter().map(|name| Step::Script { dir: dir.to_owned(), name }).collect::<Vec<_>>()
    };
    let own = scripts(&target.package, asked)?;
    if let Some(project) = target.nx.as_ref().filter(|_| asked.is_none()) {
        let hooks = own.into_iter().filter(|name| AFTER_INSTALL.contains(&name.as_str())).collect();
        let args = vec!["build".to_owned(), project.name.clone()];
        let build = Step::Tool { dir: PathBuf::new(), program: nx::PROGRAM.to_owned(), args };
        let steps = at(&target.dir, hooks).into_iter().chain([build]).collect();
        return Ok(with_client(app, steps, &[target.as_member()]));
    }
    if target.dir == Path::new("") {
        return Ok(with_client(app, at(&target.dir, own), &[target.as_member()]));
    }
    if asked.is_some() {
        return Ok(at(&target.dir, own));
    }
    let is_install = |name: &String| AFTER_INSTALL.contains(&name.as_str());
    let (mut of_root, build): (Vec<_>, Vec<_>) = scripts(root, None)?.into_iter().partition(is_install);
    let builds_all = |name: &String| {
        let delegated = root.script(name).and_then(delegation::read);
        delegated.is_some_and(|d| d.member.is_none())
    };
    let does_more = build.iter().any(|name| !builds_all(name));
    if does_more && !target.is_named {
        of_root.extend(build);
        return Ok(with_client(app, at(Path::new(""), of_root), &target.all()));
    }
    let mut steps = at(Path::new(""), of_root);
    let name = target.package.text("name").filter(|_| target.package.script("build").is_some());
    let is_turbo = app.join("turbo.json").is_file() && root.depends_on("turbo");
    if let Some(name) = name.filter(|_| is_turbo) {
        for member in target.all() {
            let hooks = scripts(&member.package, None)?.into_iter().filter(is_install).collect();
            steps.extend(at(&member.dir, hooks));
        }
        let args = ["run", "build", "--filter", name, "--env-mode=loose"].map(str::to_owned).to_vec();
        steps = with_client(app, steps, &target.all());
        steps.push(Step::Tool { dir: PathBuf::new(), program: "turbo".to_owned(), args });
        return Ok(steps);
    }
    for member in target.all() {
        steps.extend(at(&member.dir, scripts(&member.package, None)?));
    }
    Ok(with_client(app, steps, &target.all()))
}

/// Names the scripts whose result is there after the steps.
pub fn done(steps: &[Step]) -> Vec<String> {
    let builds = steps.iter().any(|s| matches!(s, Step::Tool { program, .. } if program != PRISMA));
    let scripts = steps.iter().filter_map(Step::script).map(str::to_owned);
    scripts.chain(builds.then(|| "build".to_owned())).collect()
}

/// Puts `prisma generate` before everything, for packages with a schema whose scripts do not run it.
fn with_client(app: &Path, steps: Vec<Step>, members: &[Member]) -> Vec<Step> {
    let generates = |m: &Member| {
        steps.iter().filter(|s| s.dir() == m.dir).filter_map(Step::script).any(|name| {
            m.package.script(name).is_some_and(|text| text.contains("prisma") || text.contains(":generate"))
        })
    };
    let has_schema = |m: &Member| {
        let places = ["prisma/schema.prisma", "schema.prisma"].into_iter().chain(m.package.prisma_schema());
        places.into_iter().any(|place| app.join(&m.dir).join(place).is_file())
    };
    let is_there = |m: &Member| m.package.depends_on("@prisma/client") && m.package.depends_on(PRISMA);
    let wanted = members.iter().filter(|m| is_there(m) && has_schema(m) && !generates(m));
    let generate = |m: &Member| Step::Tool {
        dir: m.dir.clone(),
        program: PRISMA.to_owned(),
        args: vec!["generate".to_owned()],
    };
    let first: Vec<Step> = wanted.map(generate).collect();
    first.into_iter().chain(steps).collect()
}

/// The scripts of a package that a build runs, in order.
fn scripts(package: &Package, asked: Option<&str>) -> Result<Vec<String>, Failure> {
    if let Some(asked) = asked {
        if !is_on(Some(asked)) {
            return Ok(Vec::new());
        }
        if !matches!(asked.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on") {
            return named(package, asked);
        }
    }
    let build =
        BUILDS.iter().copied().find(|n| package.names_script(n)).filter(|n| package.script(n).is_some());
    let again = build.map(|name| format!("npm run {name}"));
    let useful = |name: &&str| {
        package.script(name).is_some_and(|text| {
            !USELESS.iter().any(|u| text.contains(u))
                && again.as_deref() != Some(text.trim())
                && build.and_then(|b| package.script(b)) != Some(text)
        })
    };
    Ok(AFTER_INSTALL.iter().copied().filter(useful).chain(build).map(str::to_owned).collect())
}

fn named(package: &Package, asked: &str) -> Result<Vec<String>, Failure> {
    let names: Vec<String> =
        asked.split(',').map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    match names.iter().find(|n| package.script(n).is_none()) {
        None => Ok(names),
        Some(missing) => Err(Failure::new(format!("`CNB_NODE_BUILD` names a script `{missing}`"))
            .because("package.json has none of that name")
            .next("name scripts of package.json, or set it to `false` to run none")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, Package, PathBuf, Step, Target, plan, scripts};

    #[track_caller]
    fn check(package: &str, asked: Option<&str>, expected: &[&str]) {
        let package = Package::parse(&format!(r#"{{"scripts":{package}}}"#)).unwrap();
        assert_eq!(scripts(&package, asked).unwrap(), expected);
    }

    #[test]
    fn scripts_after_installing_and_the_build_are_run() {
        check(r#"{"build":"tsc"}"#, None, &["build"]);
        check(r#"{"build":"tsc","postinstall":"prisma generate"}"#, None, &["postinstall", "build"]);
        check(r#"{"build":"tsc","gcp-build":""}"#, None, &[]);
        check(r#"{"build":"tsc","heroku-postbuild":"make"}"#, None, &["heroku-postbuild"]);
        check(r#"{"start":"x"}"#, None, &[]);
    }

    #[test]
    fn hooks_for_git_and_a_second_build_are_not_run() {
        check(r#"{"build":"tsc","prepare":"husky install"}"#, None, &["build"]);
        check(r#"{"build":"tsc","prepare":"npm run build"}"#, None, &["build"]);
        check(r#"{"build":"tsc","prepare":"tsc"}"#, None, &["build"]);
        check(r#"{"preinstall":"npx only-allow pnpm"}"#, None, &[]);
    }

    #[test]
    fn the_user_names_other_scripts_or_none() {
        check(r#"{"build":"tsc"}"#, Some("0"), &[]);
        check(r#"{"build":"tsc","b2":"x"}"#, Some("b2, build"), &["b2", "build"]);
        check(r#"{"build":"tsc"}"#, Some("true"), &["build"]);
        assert!(scripts(&Package::default(), Some("nothing")).is_err());
    }

    fn package(text: &str) -> Package {
        Package::parse(text).unwrap()
    }

    /// What is run for the package `web`, which needs `lib`, of an app with this root.
    fn run(root: &str, is_named: bool, files: &[&str]) -> Vec<String> {
        let app = tempfile::tempdir().unwrap();
        for name in files {
            fs_err::create_dir_all(app.path().join(name).parent().unwrap()).unwrap();
            fs_err::write(app.path().join(name), "").unwrap();
        }
        let lib = package(r#"{"name":"lib","scripts":{"build":"tsc","prepare":"gen"}}"#);
        let web = r#"{"name":"web","scripts":{"build":"vite build"},
                      "dependencies":{"@prisma/client":"6"},"devDependencies":{"prisma":"6"}}"#;
        let target = Target {
            dir: PathBuf::from("web"),
            package: package(web),
            needs: vec![Member { dir: PathBuf::from("lib"), package: lib }],
            is_named,
            nx: None,
        };
        let steps = plan(app.path(), &package(root), &target, None).unwrap();
        steps.iter().map(Step::to_string).collect()
    }

    #[test]
    fn a_package_is_built_after_those_that_it_needs() {
        let all = ["npm run prepare (in lib)", "npm run build (in lib)", "npm run build (in web)"];
        assert_eq!(run("{}", false, &[]), all);
        assert_eq!(run(r#"{"scripts":{"build":"pnpm -r build"}}"#, false, &[]), all);
        assert_eq!(run(r#"{"scripts":{"build":"make"}}"#, true, &[]), all);
        assert_eq!(run(r#"{"scripts":{"build":"make"}}"#, false, &[]), ["npm run build"]);
    }

    #[test]
    fn turbo_builds_what_it_knows_of() {
        let root = r#"{"scripts":{"build":"turbo build"},"devDependencies":{"turbo":"2"}}"#;
        assert_eq!(
            run(root, false, &["turbo.json"]),
            ["npm run prepare (in lib)", "turbo run build --filter web --env-mode=loose"]
        );
    }

    #[test]
    fn a_client_is_generated_where_no_script_does() {
        let steps = run("{}", false, &["web/prisma/schema.prisma"]);
        assert_eq!(steps[0], "prisma generate (in web)");
        let text = r#"{"dependencies":{"@prisma/client":"6","prisma":"6"},"scripts":{"postinstall":"prisma generate"}}"#;
        let app = tempfile::tempdir().unwrap();
        fs_err::write(app.path().join("schema.prisma"), "").unwrap();
        let target = Target {
            dir: PathBuf::new(),
            package: package(text),
            needs: Vec::new(),
            is_named: false,
            nx: None,
        };
        let steps = plan(app.path(), &package(text), &target, None).unwrap();
        assert_eq!(steps, [Step::Script { dir: PathBuf::new(), name: "postinstall".to_owned() }]);
    }
}
