//! The Java development kits of this machine, and which of them an app gets.

use std::path::{Path, PathBuf};

use cnb_buildpack::context::{find_program, var};
use cnb_buildpack::wanted::Wanted;
use cnb_spec::env::Env;

/// A development kit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jdk {
    /// Its folder.
    pub home: PathBuf,
    /// Its version, such as `17.0.15`.
    pub version: String,
    /// The first number of it.
    pub major: u32,
}

impl Jdk {
    /// Reads the kit in a folder by its file `release`; a runtime without a compiler is none.
    pub fn at(home: &Path) -> Option<Self> {
        if !home.join("bin/javac").is_file() {
            return None;
        }
        let text = fs_err::read_to_string(home.join("release")).ok()?;
        let version =
            text.lines().find_map(|l| l.strip_prefix("JAVA_VERSION="))?.trim_matches('"').to_owned();
        Some(Self { major: major(&version)?, home: home.to_owned(), version })
    }

    /// Lists the kits that can be seen, the user's own choice first.
    pub fn all(env: &Env) -> Vec<Self> {
        let mut homes: Vec<PathBuf> = var(env, "JAVA_HOME").map(PathBuf::from).into_iter().collect();
        // `bin/java` of a kit, behind the links of alternatives.
        homes.extend(
            find_program(env, "javac")
                .and_then(|p| Some(p.canonicalize().ok()?.parent()?.parent()?.to_owned())),
        );
        let mut roots: Vec<PathBuf> =
            ["/usr/lib/jvm", "/opt", "/usr/java"].iter().map(PathBuf::from).collect();
        // A version manager keeps all of them in one folder.
        roots.extend(homes.iter().filter_map(|h| h.parent()).map(Path::to_owned).collect::<Vec<_>>());
        for root in roots {
            let mut inside: Vec<PathBuf> =
                fs_err::read_dir(root).into_iter().flatten().flatten().map(|e| e.path()).collect();
            inside.sort();
            homes.extend(inside);
        }
        let mut found: Vec<Self> = Vec::new();
        for kit in homes.iter().filter_map(|h| Self::at(&h.canonicalize().ok()?)) {
            if !found.iter().any(|f| f.home == kit.home) {
                found.push(kit);
            }
        }
        found
    }
}

/// The first number of a version, which was the second one until Java 8.
pub fn major(version: &str) -> Option<u32> {
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut numbers = digits.split(|c: char| !c.is_ascii_digit());
    let first: u32 = numbers.next()?.parse().ok()?;
    if first == 1 { numbers.next()?.parse().ok() } else { Some(first) }
}

/// Chooses the kit: the user's own where any will do, else the nearest that is new enough, the user's own first.
pub fn choose(all: &[Jdk], wish: Option<u32>) -> Option<&Jdk> {
    match wish {
        None => all.first(),
        Some(wish) => all.iter().filter(|kit| kit.major >= wish).min_by_key(|kit| kit.major),
    }
}

/// Whether a wish is what a build file compiles for, which newer kits do as well.
pub fn is_minimum(wish: &Wanted) -> bool {
    wish.source.starts_with("pom.") || wish.source.starts_with("build.gradle")
}

/// Lists what the app asks for, in the order in which it counts.
pub fn wishes(app: &Path, asked: &[(&str, Option<&str>)]) -> Vec<Option<Wanted>> {
    let read = |name: &str| fs_err::read_to_string(app.join(name)).unwrap_or_default();
    let property = |file: &str, key: &str| {
        let text = read(file);
        let line = text.lines().find_map(|l| {
            let (name, value) = l.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })?;
        Wanted::new(&line, file)
    };
    let mut found: Vec<_> =
        asked.iter().map(|(name, value)| Wanted::new((*value).unwrap_or_default(), *name)).collect();
    found.push(property("system.properties", "java.runtime.version"));
    found.push(Wanted::in_file(app, ".java-version"));
    found.push(property(".sdkmanrc", "java"));
    found.push(Wanted::in_version_managers(app, &["java"]));
    found.push(in_pom(&read("pom.xml")).and_then(|v| Wanted::new(&v, "pom.xml")));
    found.push(
        ["build.gradle", "build.gradle.kts"].iter().find_map(|f| Wanted::new(&in_gradle(&read(f))?, *f)),
    );
    found
}

/// The version of Java that a `pom.xml` compiles for: by its properties, or by what it tells the compiler's plugin.
pub(crate) fn in_pom(text: &str) -> Option<String> {
    let value = |text: &str, name: &str| {
        let value = text.split_once(&format!("<{name}>"))?.1.split_once("</")?.0.trim();
        value.starts_with(|c: char| c.is_ascii_digit()).then(|| value.to_owned())
    };
    let properties = [
        "maven.compiler.release",
        "java.version",
        "maven.compiler.target",
        "maven.compiler.source",
        "jdk.version",
    ];
    let plugin =
        || Some(text.split_once("maven-compiler-plugin")?.1.split("</plugin>").next().unwrap_or_default());
    let of_plugin = || ["release", "target", "source"].iter().find_map(|name| value(plugin()?, name));
    properties.iter().find_map(|name| value(text, name)).or_else(of_plugin)
}

/// The version of Java that a Gradle build compiles for.
fn in_gradle(text: &str) -> Option<String> {
    let marks = [
        "JavaLanguageVersion.of(",
        "jvmToolchain(",
        "JavaVersion.VERSION_",
        "sourceCompatibility = '",
        "sourceCompatibility = \"",
        "sourceCompatibility = ",
    ];
    marks.iter().find_map(|mark| {
        let rest = text.split_once(mark)?.1;
        let value: String =
            rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | '_')).collect();
        (!value.is_empty()).then(|| value.replace('_', "."))
    })
}

#[cfg(test)]
mod tests {
    use super::{Jdk, choose, in_gradle, in_pom, major, wishes};

    #[test]
    fn versions_are_known_by_their_first_number() {
        for (version, expected) in
            [("17.0.15", 17), ("1.8.0_352", 8), ("21", 21), ("temurin-17.0.5+8", 17), ("17.0.1-tem", 17)]
        {
            assert_eq!(major(version), Some(expected), "{version}");
        }
        assert_eq!(major("latest"), None);
    }

    #[test]
    fn the_nearest_kit_that_is_new_enough_is_chosen() {
        let kit = |major: u32| Jdk { home: format!("/jdk{major}").into(), version: major.to_string(), major };
        let all = [kit(17), kit(25), kit(11)];
        let chosen = |wish| choose(&all, wish).map(|k| k.major);
        assert_eq!(
            [chosen(None), chosen(Some(8)), chosen(Some(17)), chosen(Some(21))],
            [Some(17), Some(11), Some(17), Some(25)]
        );
        assert_eq!(chosen(Some(26)), None);
    }

    #[test]
    fn build_files_say_what_they_compile_for() {
        assert_eq!(in_pom("<properties><java.version>21</java.version></properties>").as_deref(), Some("21"));
        let plugin = "<plugin><release>8</release></plugin><artifactId>maven-compiler-plugin</artifactId><release>17</release></plugin>";
        assert_eq!(in_pom(&format!("<java.version>${{x}}</java.version>{plugin}")).as_deref(), Some("17"));
        assert_eq!(
            in_gradle("java { toolchain { languageVersion = JavaLanguageVersion.of(21) } }").as_deref(),
            Some("21")
        );
        assert_eq!(in_gradle("sourceCompatibility = JavaVersion.VERSION_1_8").as_deref(), Some("1.8"));
        assert_eq!(in_gradle("sourceCompatibility = '17'").as_deref(), Some("17"));
    }

    #[test]
    fn every_place_of_a_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("system.properties"), "java.runtime.version = 17\n").unwrap();
        fs_err::write(dir.path().join(".sdkmanrc"), "# x\njava=21.0.1-tem\n").unwrap();
        let found: Vec<_> = wishes(dir.path(), &[("CNB_JAVA_VERSION", None)])
            .into_iter()
            .flatten()
            .map(|w| w.version)
            .collect();
        assert_eq!(found, ["17", "21.0.1-tem"]);
    }
}
