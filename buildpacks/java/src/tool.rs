//! Maven and Gradle: which one builds an app, and how it is run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::{Cause, Command};
use cnb_buildpack::context::{find_program, var};
use cnb_buildpack::{BuildContext, Failure, tree};
use cnb_spec::env::Env;

use crate::jdk::Jdk;
use crate::truststore;

/// The layer of what the tools download.
const CACHE: &str = "packages";
/// The binding that holds a `settings.xml`.
const BINDING: &str = "maven";

/// A tool that builds apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Maven.
    Maven,
    /// Gradle.
    Gradle,
}

/// What the tools say when something is wrong, and what it means.
pub(crate) const CAUSES: &[Cause] = &[
    Cause {
        says: "invalid target release",
        means: "the app is compiled for a newer Java than the one that builds it",
        next: "ask for that Java with CNB_JAVA_VERSION, or install it on this machine",
    },
    Cause {
        says: "release version",
        means: "the app is compiled for a newer Java than the one that builds it",
        next: "ask for that Java with CNB_JAVA_VERSION, or install it on this machine",
    },
    Cause {
        says: "option 5 is no longer supported",
        means: "`pom.xml` does not say for which Java it compiles, and what Maven assumes is too old for this one",
        next: "set `maven.compiler.release` in the properties of `pom.xml`",
    },
    Cause {
        says: "Unsupported class file major version",
        means: "the build tool or a plugin does not know a Java as new as this",
        next: "ask for an older Java with CNB_JAVA_VERSION, or update the tool",
    },
    Cause {
        says: "requires Maven version",
        means: "a plugin needs a newer Maven",
        next: "add a Maven wrapper to the app (`mvn wrapper:wrapper`), or update Maven on this machine",
    },
    Cause {
        says: "COMPILATION ERROR",
        means: "the source does not compile",
        next: "the lines above name file and line",
    },
    Cause {
        says: "There are test failures",
        means: "a test failed",
        next: "repair it, or leave out tests: BP_MAVEN_ADDITIONAL_BUILD_ARGUMENTS=-DskipTests",
    },
    Cause {
        says: "frontend-maven-plugin",
        means: "the build downloads a Node.js of its own for the front-end, which failed",
        next: "make the site of Node.js reachable, or build the front-end with a `package.json` of its own",
    },
    Cause {
        says: "Could not find artifact",
        means: "no repository has a package that is needed",
        next: "check its name and version, and whether it needs a repository of its own (binding of type `maven`)",
    },
    Cause {
        says: "Could not transfer artifact",
        means: "the package repository cannot be reached",
        next: "check the network, the proxy, and the mirror in Maven's `settings.xml`",
    },
    Cause {
        says: "UnknownHostException",
        means: "a host cannot be reached",
        next: "check the network and the proxy; a Gradle wrapper needs the site of Gradle, or a Gradle on this machine",
    },
    Cause {
        says: "No space left on device",
        means: "the disk is full",
        next: "free space, or allow the build more",
    },
];

impl Tool {
    /// Finds the tool of an app by its files.
    pub fn of(app: &Path) -> Option<Self> {
        let has = |names: &[&str]| names.iter().any(|n| app.join(n).is_file());
        if has(&["pom.xml", "pom.atom", "pom.groovy", "pom.yaml"]) {
            return Some(Self::Maven);
        }
        has(&["build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"])
            .then_some(Self::Gradle)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Maven => "mvn",
            Self::Gradle => "gradle",
        }
    }

    /// The folder that it builds into.
    pub fn output(self) -> &'static str {
        match self {
            Self::Maven => "target",
            Self::Gradle => "build/libs",
        }
    }

    /// What it is run with unless the user says otherwise.
    pub fn arguments(self, asked: Option<&str>, more: Option<&str>) -> Vec<String> {
        let usual = match self {
            Self::Maven => "-DskipTests package",
            Self::Gradle => "--no-daemon -x test assemble",
        };
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        [words(asked.unwrap_or(usual)), words(more.unwrap_or_default())].concat()
    }

    /// The variables that change what is run: all arguments, more arguments, the module.
    pub fn variables(self) -> [&'static str; 3] {
        match self {
            Self::Maven => {
                ["BP_MAVEN_BUILD_ARGUMENTS", "BP_MAVEN_ADDITIONAL_BUILD_ARGUMENTS", "BP_MAVEN_BUILT_MODULE"]
            }
            Self::Gradle => [
                "BP_GRADLE_BUILD_ARGUMENTS",
                "BP_GRADLE_ADDITIONAL_BUILD_ARGUMENTS",
                "BP_GRADLE_BUILT_MODULE",
            ],
        }
    }

    /// Builds the app: with its own wrapper, or with the tool of this machine where that cannot be fetched.
    pub(crate) fn build(self, cx: &BuildContext, jdk: &Jdk) -> Result<(), Failure> {
        let env = environment(cx, jdk)?;
        let [asked, more, _] = self.variables().map(|name| cx.var(name));
        let args = self.arguments(asked, more);
        let wrapper = self.wrapper(&cx.app_dir);
        let own = find_program(&env, self.name());
        let run = |program: Vec<OsString>, shown: &str| {
            let mut all = program.into_iter();
            let first = all.next().unwrap_or_default();
            Command::new(first, &cx.app_dir, &env)
                .args(all)
                .args(self.always(cx)?)
                .args(&args)
                .title(format!("{shown} {}", args.join(" ")))
                .stream(&cx.log)
                .map(|output| (output, format!("{shown} {}", args.join(" "))))
        };
        let fail = |output: &cnb_buildpack::command::Output, shown: &str| {
            Command::new(self.name(), &cx.app_dir, &env).title(shown).failure(output, CAUSES)
        };
        if let Some(wrapper) = wrapper {
            let name = wrapper.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (output, shown) = run(vec!["sh".into(), wrapper.into()], &format!("./{name}"))?;
            if output.success {
                return Ok(());
            }
            let cannot_start = [
                "Failed to fetch",
                "failed to fetch",
                "Failed to download",
                "UnknownHostException",
                "wget: ",
                "curl: (",
                "Exception in thread \"main\" java.net",
                "Could not find or load main class org.apache.maven.wrapper",
                "cannot read distributionUrl",
                "Could not find or load main class org.gradle.wrapper",
            ];
            if own.is_none() || !cannot_start.iter().any(|c| output.says(c)) {
                return Err(fail(&output, &shown));
            }
            cx.log.warning(format!(
                "`{name}` cannot fetch what it wraps, so this machine's {} is used",
                self.name()
            ));
        }
        let own = own.ok_or_else(|| {
            Failure::new(format!("there is no {} on this machine, and the app has no wrapper", self.name()))
                .next(format!("install {0}, or add a wrapper to the app (`{0} wrapper`)", self.name()))
        })?;
        let (output, shown) = run(vec![own.into()], self.name())?;
        if output.success { Ok(()) } else { Err(fail(&output, &shown)) }
    }

    fn wrapper(self, app: &Path) -> Option<PathBuf> {
        let (script, settings) = match self {
            Self::Maven => ("mvnw", ".mvn/wrapper/maven-wrapper.properties"),
            Self::Gradle => ("gradlew", "gradle/wrapper/gradle-wrapper.properties"),
        };
        Some(app.join(script)).filter(|s| s.is_file() && app.join(settings).is_file())
    }

    /// What every run has: no terminal, no progress, and what makes archives the same each time.
    fn always(self, cx: &BuildContext) -> Result<Vec<OsString>, Failure> {
        if self == Self::Gradle {
            return Ok(vec!["--console=plain".into()]);
        }
        let repository = cx.layer_path(CACHE).join("repository");
        let mut args: Vec<OsString> =
            ["-B", "-ntp", "-Dstyle.color=never", "-Dproject.build.outputTimestamp=1980-01-02T00:00:00Z"]
                .map(OsString::from)
                .to_vec();
        let mut local = OsString::from("-Dmaven.repo.local=");
        local.push(repository);
        args.push(local);
        if let Some(file) = cx.binding(BINDING)?.and_then(|b| b.file("settings.xml")) {
            args.extend(["-s".into(), file.into()]);
        }
        Ok(args)
    }
}

fn environment(cx: &BuildContext, jdk: &Jdk) -> Result<Env, Failure> {
    let cache = cx.kept_layer(CACHE)?;
    let mut env = cx.env_without_bindings();
    env.insert("JAVA_HOME".into(), jdk.home.clone().into());
    env.insert("MAVEN_USER_HOME".into(), cache.join("maven").into());
    env.insert("GRADLE_USER_HOME".into(), cache.join("gradle").into());
    let path = env.get(std::ffi::OsStr::new("PATH")).cloned().unwrap_or_default();
    let dirs = std::iter::once(jdk.home.join("bin")).chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(dirs) {
        env.insert("PATH".into(), path);
    }
    let mut options = var(&cx.env, "JAVA_TOOL_OPTIONS").unwrap_or_default().to_owned();
    if let Some(bundle) = truststore::bundle(cx).filter(|_| !options.contains("trustStore")) {
        // The kit's own store may be a link to a place that builds do not see.
        let store = cache.join("truststore.jks");
        tree::remove(&store)?;
        truststore::write(&bundle, &store)?;
        let (store, password) = (store.to_string_lossy(), truststore::PASSWORD);
        options.extend([
            " -Djavax.net.ssl.trustStore=",
            &*store,
            " -Djavax.net.ssl.trustStorePassword=",
            password,
        ]);
    }
    env.insert("JAVA_TOOL_OPTIONS".into(), options.trim().into());
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::Tool;

    #[test]
    fn the_user_replaces_or_adds_arguments() {
        assert_eq!(Tool::Maven.arguments(None, Some("-Pprod")), ["-DskipTests", "package", "-Pprod"]);
        assert_eq!(Tool::Maven.arguments(Some("verify"), None), ["verify"]);
    }

    #[test]
    fn a_tool_is_known_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Tool::of(dir.path()), None);
        fs_err::write(dir.path().join("build.gradle.kts"), "").unwrap();
        assert_eq!(Tool::of(dir.path()), Some(Tool::Gradle));
        fs_err::write(dir.path().join("pom.xml"), "").unwrap();
        assert_eq!(Tool::of(dir.path()), Some(Tool::Maven));
    }
}
