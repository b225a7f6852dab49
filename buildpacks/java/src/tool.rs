//! Maven and Gradle: which one builds an app, and how it is run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use cnb_buildpack::command::{Command, Output};
use cnb_buildpack::context::{find_program, var};
use cnb_buildpack::{BuildContext, Failure, tree};
use cnb_spec::env::Env;

use crate::archive;
use crate::jdk::{self, Jdk};
use crate::preloaded::Preloaded;
use crate::truststore;
use crate::{causes, install};

/// The layer of what the tools download.
const CACHE: &str = "packages";
/// The binding that holds a `settings.xml`.
const BINDING: &str = "maven";
/// The goal of Maven that copies packages, in a version that Mavens since 3.0 can run.
pub(crate) const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.1.2:copy-dependencies";
/// What `-ntp` says, for Mavens before 3.6.1 as well.
const QUIET_DOWNLOADS: &str =
    "-Dorg.slf4j.simpleLogger.log.org.apache.maven.cli.transfer.Slf4jMavenTransferListener=warn";
/// How deep modules of modules are looked at.
const MODULES_DEPTH: usize = 4;
/// From how many files of source on the compiler is worth better machine code.
const MANY_SOURCES: usize = 400;

/// Options of a Java that ends soon: quick machine code, so much room that nothing has to be collected, no figures for
/// others to read.
const QUICK: [&str; 5] = [
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:InitialRAMPercentage=5",
    "-XX:NewRatio=1",
    "-XX:-UsePerfData",
];
/// The first Java in which quick machine code may be made by one thread alone, which leaves the processor to Maven.
const ONE_COMPILER_SINCE: u32 = 17;

/// A tool that builds apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Maven.
    Maven,
    /// Gradle.
    Gradle,
}

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
    pub fn arguments(self, app: &Path, asked: Option<&str>, more: Option<&str>) -> Vec<String> {
        let usual = match self {
            // Where modules use each other's tests, these have to be compiled.
            Self::Maven if shares_tests(app) => "-DskipTests package",
            Self::Maven => "-Dmaven.test.skip=true package",
            Self::Gradle if install::has_plugin(app) => "--no-daemon -x test assemble installDist",
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

    /// What it is run with for this build.
    pub(crate) fn arguments_of(self, cx: &BuildContext) -> Vec<String> {
        let [asked, more, _] = self.variables().map(|name| cx.var(name));
        self.arguments(&cx.app_dir, asked, more)
    }

    /// Builds the app; `offline` where all packages are thought to be there, which is tried first.
    pub(crate) fn build(self, cx: &BuildContext, jdk: &Jdk, offline: bool) -> Result<(), Failure> {
        let args = self.arguments_of(cx);
        if offline && self == Self::Maven {
            let (output, command) = self.attempt(cx, jdk, &[&["-o".to_owned()], &*args].concat())?;
            if output.success {
                return Ok(());
            }
            if !["offline mode", "system is offline"].iter().any(|sign| output.says(sign)) {
                return Err(command.failure(&output, causes::ALL));
            }
            cx.log.step("a package is not there yet, so the repositories are asked");
        }
        self.run(cx, jdk, &args)
    }

    /// Runs it in the app's folder.
    pub(crate) fn run(self, cx: &BuildContext, jdk: &Jdk, args: &[String]) -> Result<(), Failure> {
        let (output, command) = self.attempt(cx, jdk, args)?;
        if output.success { Ok(()) } else { Err(command.failure(&output, causes::ALL)) }
    }

    /// Runs the app's wrapper, or the tool of this machine where what that wraps cannot be fetched.
    fn attempt(self, cx: &BuildContext, jdk: &Jdk, args: &[String]) -> Result<(Output, Command), Failure> {
        let preloaded = Preloaded::of(&cx.kept_layer(CACHE)?, jdk);
        let env = environment(cx, jdk, &preloaded)?;
        let name = self.name();
        let own = find_program(&env, name);
        let run = |program: Vec<OsString>, shown: &str| {
            let mut all = program.into_iter();
            let command = Command::new(all.next().unwrap_or_default(), &cx.app_dir, &env)
                .args(all)
                .args(self.always(cx, jdk)?)
                .args(args)
                .title(format!("{shown} {}", args.join(" ")));
            let output = command.stream(&cx.log)?;
            if !output.success {
                preloaded.forget()?;
            }
            Ok((output, command))
        };
        if let Some(wrapper) = self.wrapper(&cx.app_dir) {
            let script = wrapper.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ran = run(vec!["sh".into(), wrapper.into()], &format!("./{script}"))?;
            if ran.0.success || !cannot_start(&ran.0) {
                return Ok(ran);
            }
            if own.is_none() {
                let settings = self.wrapper_files().1;
                return Err(Failure::new(format!("`{script}` cannot fetch what it wraps"))
                    .because(format!("and there is no {name} on this machine"))
                    .next(format!("make the address in `{settings}` reachable, or install {name}")));
            }
            cx.log
                .warning(format!("`{script}` cannot fetch what it wraps, so this machine's {name} is used"));
        }
        let own = own.ok_or_else(|| {
            Failure::new(format!("there is no {name} on this machine, and the app has no wrapper"))
                .next(format!("install {name}, or add a wrapper to the app (`{name} wrapper`)"))
        })?;
        run(vec![own.into()], name)
    }

    fn wrapper_files(self) -> (&'static str, &'static str) {
        match self {
            Self::Maven => ("mvnw", ".mvn/wrapper/maven-wrapper.properties"),
            Self::Gradle => ("gradlew", "gradle/wrapper/gradle-wrapper.properties"),
        }
    }

    fn wrapper(self, app: &Path) -> Option<PathBuf> {
        let (script, settings) = self.wrapper_files();
        Some(app.join(script)).filter(|s| s.is_file() && app.join(settings).is_file())
    }

    /// What every run has: no terminal, no progress, and what makes archives the same each time.
    fn always(self, cx: &BuildContext, jdk: &Jdk) -> Result<Vec<OsString>, Failure> {
        if self == Self::Gradle {
            return Ok(vec!["--console=plain".into()]);
        }
        let mut args: Vec<OsString> = [
            "-B",
            QUIET_DOWNLOADS,
            "-Dstyle.color=never",
            "-Dproject.build.outputTimestamp=1980-01-02T00:00:00Z",
        ]
        .map(OsString::from)
        .to_vec();
        let mut local = OsString::from("-Dmaven.repo.local=");
        local.push(repository(cx));
        args.push(local);
        if let Some(level) = level(&cx.app_dir, jdk.major) {
            args.extend(["source", "target"].map(|p| format!("-Dmaven.compiler.{p}={level}").into()));
        }
        if !cx.app_dir.join(".git").exists() {
            // What an app without its history cannot tell does not fail it.
            args.push("-Dmaven.gitcommitid.skip=true".into());
        }
        if let Some(file) = cx.binding(BINDING)?.and_then(|b| b.file("settings.xml")) {
            args.extend(["-s".into(), file.into()]);
        }
        Ok(args)
    }
}

/// Keeps what the tools downloaded for the next build, also where this one does not need it.
pub(crate) fn keep(cx: &BuildContext) -> Result<(), Failure> {
    cx.kept_layer(CACHE).map(drop)
}

/// The folder of the packages that Maven downloaded.
pub(crate) fn repository(cx: &BuildContext) -> PathBuf {
    cx.layer_path(CACHE).join("repository")
}

/// Whether a wrapper failed before the tool itself started.
fn cannot_start(output: &Output) -> bool {
    let signs = [
        "Failed to fetch",
        "failed to fetch",
        "Failed to download",
        "Failed to validate Maven distribution",
        "UnknownHostException",
        "wget: ",
        "curl: (",
        "Exception in thread \"main\" java.io.IOException: Downloading from",
        "Exception in thread \"main\" java.io.FileNotFoundException: http",
        "Exception in thread \"main\" java.net",
        "Could not find or load main class org.apache.maven.wrapper",
        "cannot read distributionUrl",
        "Could not find or load main class org.gradle.wrapper",
    ];
    signs.iter().any(|sign| output.says(sign))
}

/// Whether a module of a Maven build makes an archive of its tests, or uses that of another.
fn shares_tests(app: &Path) -> bool {
    poms(app, MODULES_DEPTH).iter().any(|pom| {
        let text = fs_err::read_to_string(pom).unwrap_or_default();
        ["test-jar", "<classifier>tests<"].iter().any(|mark| text.contains(mark))
    })
}

/// The language level of a build that does not say one as every Maven understands it: older ones know no `release`, and
/// assume a level that no Java has any more.
fn level(app: &Path, kit: u32) -> Option<String> {
    let read = |pom: &PathBuf| fs_err::read_to_string(pom).unwrap_or_default();
    let texts: Vec<String> = poms(app, MODULES_DEPTH).iter().map(read).collect();
    let marks = ["maven.compiler.source", "maven.compiler.target", "<source>", "<target>"];
    let says = texts.iter().any(|text| marks.iter().any(|mark| text.contains(mark)));
    let own = texts.first().filter(|text| !says && !text.contains("<parent>"))?;
    Some(jdk::in_pom(own).unwrap_or_else(|| kit.to_string()))
}

/// Lists the folders of a Maven build's modules, its own first.
pub(crate) fn modules(app: &Path) -> Vec<PathBuf> {
    poms(app, MODULES_DEPTH).iter().filter_map(|pom| pom.parent()).map(Path::to_owned).collect()
}

fn poms(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let pom = dir.join("pom.xml");
    if depth == 0 || !pom.is_file() {
        return Vec::new();
    }
    // A folder that cannot be read has no modules: Maven says so itself.
    let inner = fs_err::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut inner: Vec<PathBuf> = inner.filter(|p| p.is_dir()).collect();
    inner.sort();
    std::iter::once(pom).chain(inner.iter().flat_map(|dir| poms(dir, depth - 1))).collect()
}

/// Options of the Java that Maven itself runs on; those of the user stand alone.
fn maven_options(cx: &BuildContext, jdk: &Jdk, preloaded: &Preloaded) -> Option<String> {
    if cx.var("MAVEN_OPTS").is_some() {
        return None;
    }
    let mut options: Vec<String> = Vec::new();
    // Two choices of a garbage collector are an error.
    let chosen = cx.app_dir.join(".mvn/jvm.config").is_file()
        || ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"].iter().any(|name| cx.var(name).is_some());
    // A build of a small app ends before better machine code pays.
    if !chosen && sources(&cx.app_dir, 0) < MANY_SOURCES {
        options.extend(QUICK.map(str::to_owned));
        options.extend((jdk.major >= ONE_COMPILER_SINCE).then(|| "-XX:CICompilerCount=1".to_owned()));
    }
    options.extend(preloaded.options());
    // Since Java 16 old plugins, and old annotation processors, cannot look into Java's own classes otherwise.
    if jdk.major >= 16 {
        let base = ["base/java.lang", "base/java.util", "base/java.text", "desktop/java.awt.font"]
            .map(|p| format!("java.{p}"));
        let compiler =
            ["code", "comp", "file", "main", "model", "parser", "processing", "tree", "util", "jvm"]
                .map(|p| format!("jdk.compiler/com.sun.tools.javac.{p}"));
        options.extend(base.iter().chain(&compiler).map(|p| format!("--add-opens={p}=ALL-UNNAMED")));
    }
    Some(options.join(" "))
}

/// Counts the files of source below a folder, `seen` included, and stops where there are many.
fn sources(dir: &Path, seen: usize) -> usize {
    let mut seen = seen;
    for entry in fs_err::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if seen >= MANY_SOURCES {
            break;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            seen = sources(&path, seen);
        } else if archive::has_ending(&path, &["java", "kt", "scala", "groovy"]) {
            seen += 1;
        }
    }
    seen
}

fn environment(cx: &BuildContext, jdk: &Jdk, preloaded: &Preloaded) -> Result<Env, Failure> {
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
    // Source in UTF-8 is read as such also where the build file does not say so.
    if cx.var("LC_ALL").is_none() && cx.var("LANG").is_none() {
        env.insert("LC_ALL".into(), "C.UTF-8".into());
    }
    if let Some(options) = maven_options(cx, jdk, preloaded) {
        env.insert("MAVEN_OPTS".into(), options.into());
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
    use super::{Path, Tool, level, sources};

    #[test]
    fn the_user_replaces_or_adds_arguments() {
        let none = Path::new("/missing");
        let usual = ["-Dmaven.test.skip=true", "package", "-Pprod"];
        assert_eq!(Tool::Maven.arguments(none, None, Some("-Pprod")), usual);
        assert_eq!(Tool::Maven.arguments(none, Some("verify"), None), ["verify"]);
    }

    #[test]
    fn tests_are_compiled_where_modules_share_them() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir(dir.path().join("web")).unwrap();
        fs_err::write(dir.path().join("pom.xml"), "<modules><module>web</module></modules>").unwrap();
        fs_err::write(dir.path().join("web/pom.xml"), "<type>test-jar</type>").unwrap();
        assert_eq!(Tool::Maven.arguments(dir.path(), None, None), ["-DskipTests", "package"]);
    }

    #[test]
    fn a_build_without_a_level_of_its_own_gets_one() {
        let dir = tempfile::tempdir().unwrap();
        let of = |pom: &str| {
            fs_err::write(dir.path().join("pom.xml"), pom).unwrap();
            level(dir.path(), 17)
        };
        assert_eq!(of("<project/>").as_deref(), Some("17"));
        assert_eq!(of("<maven.compiler.release>11</maven.compiler.release>").as_deref(), Some("11"));
        assert_eq!(of("<maven.compiler.source>8</maven.compiler.source>"), None);
        assert_eq!(of("<parent/><parent>x</parent>"), None);
    }

    #[test]
    fn sources_are_counted_in_all_folders() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join("a/b")).unwrap();
        for file in ["A.java", "a/B.kt", "a/b/C.java", "a/notes.txt"] {
            fs_err::write(dir.path().join(file), "").unwrap();
        }
        assert_eq!(sources(dir.path(), 0), 3);
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
