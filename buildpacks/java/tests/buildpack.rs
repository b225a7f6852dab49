//! The buildpack as a platform runs it, with the Java and Maven of this machine.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use cnb_buildpack::context::find_program;
use cnb_buildpack::tree;
use cnb_buildpack::trial::{Outcome, Subject, Trial};

/// What is tried.
const SUBJECT: Subject = Subject {
    manifest_dir: env!("CARGO_MANIFEST_DIR"),
    program: env!("CARGO_BIN_EXE_buildpack-java"),
    tools: &["javac", "mvn"],
};

fn trial(dir: &Path, fixture: &str) -> Option<Trial> {
    let trial = SUBJECT.trial(dir, fixture).unwrap()?;
    // The tests share what Maven downloads.
    trial.share("packages", &Path::new(env!("CARGO_TARGET_TMPDIR")).join("maven-packages")).unwrap();
    Some(trial)
}

fn read(path: &Path) -> String {
    fs_err::read_to_string(path).unwrap()
}

#[track_caller]
fn build(trial: &Trial) -> Outcome {
    let outcome = trial.build().unwrap();
    assert!(outcome.success, "{}", outcome.output);
    outcome
}

/// The image's web process with the runtime of the image alone.
fn process(trial: &Trial) -> Command {
    let launch: toml::Table = read(&trial.layers_dir().join("launch.toml")).parse().unwrap();
    let command: Vec<&str> =
        launch["processes"][0]["command"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    let jre = trial.layers_dir().join("jre");
    let mut process = Command::new(command[0]);
    process
        .args(&command[1..])
        .current_dir(trial.app_dir())
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", jre.join("bin").display()))
        .env("JAVA_TOOL_OPTIONS", read(&jre.join("env.launch/JAVA_TOOL_OPTIONS.default")))
        .env("PORT", "1");
    process
}

/// Runs it to its end.
fn start(trial: &Trial) -> String {
    let output = process(trial).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_maven_app_runs_on_a_runtime_of_its_own_and_is_built_once() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "maven") else { return };
    let plan: toml::Table = trial.detect().unwrap().plan.parse().unwrap();
    let intent = &plan["requires"][0]["metadata"];
    assert_eq!(intent["commands"][0].as_str(), Some("mvn -Dmaven.test.skip=true package"));
    assert_eq!(intent["versions"][0]["version"].as_str(), Some("11"));
    assert_eq!(intent["processes"]["web"].as_str(), Some("java -jar target/*.jar"));
    build(&trial);
    assert_eq!(start(&trial), "hello from a jar\n");
    let told = process(&trial)
        .envs([("BPL_JVM_HEAD_ROOM", "25"), ("JAVA_OPTS", "-XX:+PrintCommandLineFlags")])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("-XX:MaxRAMPercentage=50"), "{told}");
    let left: Vec<_> = tree::snapshot(&trial.app_dir(), &|_| false).unwrap().into_keys().collect();
    assert_eq!(left, [Path::new("target"), Path::new("target/hello-1.0.0.jar")]);
    assert!(!trial.layers_dir().join("jre/bin/javac").exists());
    let kept = fs_err::read_dir(trial.layers_dir().join("packages")).unwrap();
    let kept: Vec<_> = kept.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(kept.iter().any(|name| name.starts_with("maven-")), "{kept:?}");
    let sbom = read(&trial.layers_dir().join("launch.sbom.cdx.json"));
    assert!(sbom.contains("pkg:maven/org.example/hello@1.0.0"), "{sbom}");
    assert!(read(&trial.layers_dir().join("jre.sbom.spdx.json")).contains("openjdk"));
    let first = tree::hash_file(&trial.app_dir().join("target/hello-1.0.0.jar")).unwrap();

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("maven")).unwrap();
    let outcome = build(&trial);
    assert!(!outcome.output.contains("$ "), "{}", outcome.output);
    assert!(trial.app_dir().join("target/hello-1.0.0.jar").is_file());
    assert!(trial.layers_dir().join("launch.sbom.cdx.json").is_file());

    // Built anew from the same source it has the same bytes.
    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("maven")).unwrap();
    fs_err::write(trial.app_dir().join("README"), "more\n").unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("$ mvn -o") && !outcome.output.contains("$ jlink"), "{}", outcome.output);
    assert_eq!(tree::hash_file(&trial.app_dir().join("target/hello-1.0.0.jar")).unwrap(), first);
}

#[test]
fn an_archive_that_is_there_already_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let source = SUBJECT.fixture("maven/src/main/java/hello/Main.java");
    let classes = dir.path().join("classes");
    let ran = |command: &mut Command| assert!(command.status().unwrap().success());
    ran(Command::new("javac").arg("-d").arg(&classes).arg(source));
    ran(Command::new("jar")
        .args(["-c", "-e", "hello.Main", "-f"])
        .arg(trial.app_dir().join("app.jar"))
        .arg("-C")
        .arg(&classes)
        .arg("."));
    assert!(trial.detect().unwrap().plan.contains("`app.jar`, which can be started"));
    build(&trial);
    assert_eq!(start(&trial), "hello from a jar\n");
}

#[test]
fn an_archive_of_spring_boot_is_unpacked_and_not_there_twice() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let classes = dir.path().join("classes");
    let ran = |command: &mut Command| assert!(command.status().unwrap().success());
    ran(Command::new("javac")
        .arg("-d")
        .arg(&classes)
        .arg(SUBJECT.fixture("maven/src/main/java/hello/Main.java")));
    let manifest = dir.path().join("MANIFEST.MF");
    fs_err::write(&manifest, "Main-Class: hello.Main\nSpring-Boot-Version: 3.0.0\n").unwrap();
    let jar = trial.app_dir().join("app.jar");
    ran(Command::new("jar").arg("-cfm").arg(&jar).arg(&manifest).arg("-C").arg(&classes).arg("."));
    let whole = fs_err::read(&jar).unwrap();
    build(&trial);
    assert_eq!(start(&trial), "hello from a jar\n");
    assert!(!jar.exists() && trial.app_dir().join("hello/Main.class").is_file());
    let launch = read(&trial.layers_dir().join("launch.toml"));
    assert!(launch.contains("[[slices]]\npaths = [\"BOOT-INF/lib/**\""), "{launch}");

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("none")).unwrap();
    fs_err::write(&jar, whole).unwrap();
    assert!(build(&trial).output.contains("nothing changed"));
    assert!(!jar.exists());
}

#[test]
fn a_procfile_finds_the_archive_where_it_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "maven") else { return };
    fs_err::write(trial.app_dir().join("Procfile"), "web: java -jar target/hello-1.0.0.jar\n").unwrap();
    build(&trial);
    assert!(trial.app_dir().join("target/hello-1.0.0.jar").is_file());
    assert_eq!(read(&trial.layers_dir().join("launch.toml")).trim(), "processes = []");
}

#[test]
fn classes_are_started_where_no_archive_can_be_and_a_library_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "maven") else { return };
    let pom = read(&trial.app_dir().join("pom.xml"));
    let without = pom.replace("<mainClass>hello.Main</mainClass>", "");
    fs_err::write(trial.app_dir().join("pom.xml"), &without).unwrap();
    build(&trial);
    assert_eq!(start(&trial), "hello from a jar\n");
    assert!(!trial.app_dir().join("target").exists());

    trial.restore().unwrap();
    trial.use_app(&SUBJECT.fixture("maven")).unwrap();
    fs_err::write(trial.app_dir().join("pom.xml"), &without).unwrap();
    let source = trial.app_dir().join("src/main/java/hello/Main.java");
    let text = read(&source).replace("void main(", "void other(");
    fs_err::write(source, text).unwrap();
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(
        outcome.output.contains("`target/hello-1.0.0.jar` has no Main-Class in its manifest"),
        "{}",
        outcome.output
    );
}

#[test]
fn an_app_among_modules_runs_from_its_classes_and_those_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "maven") else { return };
    let app = trial.app_dir();
    let pom = read(&app.join("pom.xml"));
    let head = pom.split_once("<build>").unwrap().0;
    let of_module = |name: &str, more: &str| {
        format!(
            "<project><modelVersion>4.0.0</modelVersion><parent><groupId>org.example</groupId><artifactId>hello</artifactId><version>1.0.0</version></parent><artifactId>{name}</artifactId>{more}</project>"
        )
    };
    let needs = "<dependencies><dependency><groupId>org.example</groupId><artifactId>greeting</artifactId><version>1.0.0</version></dependency></dependencies>";
    let write = |path: &str, text: &str| {
        fs_err::create_dir_all(app.join(path).parent().unwrap()).unwrap();
        fs_err::write(app.join(path), text).unwrap();
    };
    let modules =
        "<packaging>pom</packaging><modules><module>greeting</module><module>web</module></modules>";
    write("pom.xml", &format!("{head}{modules}</project>"));
    write("greeting/pom.xml", &of_module("greeting", ""));
    write(
        "greeting/src/main/java/hello/Greeting.java",
        "package hello; public class Greeting { public static final class Text { public String toString() { return \"hello from a module\"; } } }",
    );
    write("web/pom.xml", &of_module("web", needs));
    write(
        "web/src/main/java/hello/Main.java",
        "package hello; public class Main { public static void main(String[] a) { System.out.println(new Greeting.Text()); } }",
    );
    build(&trial);
    assert_eq!(start(&trial), "hello from a module\n");
    assert!(trial.layers_dir().join("libraries/greeting-1.0.0.jar").is_file());
    assert!(!app.join("web").exists() && !app.join("greeting").exists());
}

#[test]
fn source_alone_is_compiled_and_started() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let source = read(&SUBJECT.fixture("maven/src/main/java/hello/Main.java"));
    fs_err::write(trial.app_dir().join("Main.java"), source.replace("package hello;", "")).unwrap();
    assert!(trial.detect().unwrap().plan.contains("source with a `main` in `.`"));
    build(&trial);
    assert_eq!(start(&trial), "hello from a jar\n");
    assert!(!trial.app_dir().join("Main.java").exists() && trial.app_dir().join("notes.txt").exists());
}

#[test]
fn a_war_without_a_server_runs_on_tomcat_with_its_pages() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let web = dir.path().join("web");
    fs_err::create_dir_all(web.join("WEB-INF")).unwrap();
    fs_err::write(
        web.join("WEB-INF/web.xml"),
        "<web-app xmlns=\"https://jakarta.ee/xml/ns/jakartaee\" version=\"5.0\"/>",
    )
    .unwrap();
    fs_err::write(web.join("index.jsp"), "<p><%= 6 * 7 %></p>").unwrap();
    let war = trial.app_dir().join("app.war");
    let mut jar = Command::new("jar");
    assert!(jar.arg("-cf").arg(&war).arg("-C").arg(&web).arg(".").status().unwrap().success());
    build(&trial);
    assert!(!war.exists() && trial.app_dir().join("webapp/index.jsp").is_file());
    assert!(read(&trial.layers_dir().join("server.sbom.cdx.json")).contains("tomcat-embed-core@10.1"));

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = process(&trial)
        .env("PORT", port.to_string())
        .env("TMPDIR", dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It says when it listens.
    let lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let started = lines.map_while(Result::ok).any(|line| line.contains("Starting ProtocolHandler"));
    let answer = ask(port);
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(started && answer.contains("<p>42</p>"), "{answer}");
}

fn ask(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn repositories_are_asked_again_when_build_files_change_or_a_package_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    // Its packages are its own, since one of them is removed.
    let Some(trial) = SUBJECT.trial(dir.path(), "maven").unwrap() else { return };
    build(&trial);
    let again = |change: &str| {
        trial.restore().unwrap();
        trial.use_app(&SUBJECT.fixture("maven")).unwrap();
        fs_err::write(trial.app_dir().join(change), "<!-- more -->").unwrap();
        build(&trial).output
    };
    let output = again("pom.txt");
    assert!(output.contains("$ mvn -Dmaven.test.skip"), "{output}");
    let output = again("README");
    assert!(output.contains("$ mvn -Dmaven.test.skip"), "{output}");
    // A build that runs nothing keeps the packages.
    let output = again("README");
    assert!(output.contains("nothing changed"), "{output}");
    let output = again("NOTES");
    assert!(output.contains("$ mvn -o -Dmaven.test.skip"), "{output}");
    tree::remove(&trial.layers_dir().join("packages/repository/org/apache/maven/plugins/maven-jar-plugin"))
        .unwrap();
    let output = again("other");
    assert!(output.contains("$ mvn -o") && output.contains("a package is not there yet"), "{output}");
}

#[test]
fn a_java_that_is_not_there_is_an_error_that_lists_those_that_are() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "maven") else { return };
    trial.set("CNB_JAVA_VERSION", "99").unwrap();
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("available: "), "{}", outcome.output);
}

#[test]
fn source_that_does_not_compile_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "maven") else { return };
    fs_err::write(trial.app_dir().join("src/main/java/hello/Main.java"), "class {").unwrap();
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("the source does not compile"), "{}", outcome.output);
}

#[test]
fn an_app_without_java_is_not_for_this_buildpack() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    let outcome = trial.detect().unwrap();
    assert!(!outcome.success && outcome.output.contains("would need: a `pom.xml`"), "{}", outcome.output);
}

#[test]
fn gradle_builds_an_application_and_its_start_script_starts_it() {
    let env = cnb_buildpack::trial::tool_env();
    let subject = Subject { tools: &["javac", "gradle"], ..SUBJECT };
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = subject.trial_with(dir.path(), "maven", env).unwrap() else { return };
    let app = trial.app_dir();
    fs_err::remove_file(app.join("pom.xml")).unwrap();
    fs_err::write(app.join("settings.gradle"), "rootProject.name = 'hello'\n").unwrap();
    let script = "plugins { id 'application' }\nmainClassName = 'hello.Main'\n";
    fs_err::write(app.join("build.gradle"), script).unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("web: build/install/hello/bin/hello"), "{}", outcome.output);
    assert_eq!(start(&trial), "hello from a jar\n");
}

/// A Gradle for tests: it notes its arguments, and compiles what `application` would.
const GRADLE: &str = r#"#!/bin/sh
echo "gradle was asked for: $*"
mkdir -p build/classes build/libs
javac -d build/classes src/main/java/hello/Main.java
jar -c -e hello.Main -f build/libs/app.jar -C build/classes .
"#;

#[test]
fn gradle_of_this_machine_builds_where_the_wrapper_cannot_be_fetched() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mut env = cnb_buildpack::trial::tool_env();
    let bin = dir.path().join("bin");
    fs_err::create_dir(&bin).unwrap();
    // A machine without Gradle, whatever this one has.
    for name in ["javac", "mkdir", "mvn", "sh"] {
        let Some(program) = find_program(&env, name) else { return };
        std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
    }
    env.insert("PATH".into(), bin.clone().into());
    let Some(trial) = SUBJECT.trial_with(dir.path(), "maven", env).unwrap() else { return };
    let app = trial.app_dir();
    fs_err::remove_file(app.join("pom.xml")).unwrap();
    fs_err::write(app.join("build.gradle"), "plugins { id 'java' }\nsourceCompatibility = '11'\n").unwrap();
    fs_err::create_dir_all(app.join("gradle/wrapper")).unwrap();
    fs_err::write(app.join("gradle/wrapper/gradle-wrapper.properties"), "").unwrap();
    fs_err::write(app.join("gradlew"), "echo 'java.net.UnknownHostException: nowhere'; exit 1\n").unwrap();
    let outcome = trial.build().unwrap();
    assert!(!outcome.success);
    assert!(outcome.output.contains("`gradlew` cannot fetch what it wraps"), "{}", outcome.output);
    assert!(outcome.output.contains("or install gradle"), "{}", outcome.output);

    fs_err::write(bin.join("gradle"), GRADLE).unwrap();
    fs_err::set_permissions(bin.join("gradle"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("so this machine's gradle is used"), "{}", outcome.output);
    assert!(
        outcome.output.contains("asked for: --console=plain --no-daemon -x test assemble"),
        "{}",
        outcome.output
    );
    assert_eq!(start(&trial), "hello from a jar\n");
    assert!(!app.join("gradlew").exists());
}

#[test]
fn a_pin_that_is_too_new_yields_where_the_build_file_needs_less() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "maven") else { return };
    fs_err::write(trial.app_dir().join(".java-version"), "99\n").unwrap();
    let outcome = build(&trial);
    assert!(outcome.output.contains("and pom.xml compiles for 11"), "{}", outcome.output);
}

#[test]
fn builds_of_other_tools_are_told_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trial) = trial(dir.path(), "none") else { return };
    fs_err::write(trial.app_dir().join("build.sbt"), "").unwrap();
    let outcome = trial.detect().unwrap();
    assert!(!outcome.success && outcome.output.contains("sbt-assembly"), "{}", outcome.output);
}
