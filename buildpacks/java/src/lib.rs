//! Java applications: built by Maven or Gradle, or there as archives already, with a runtime made for them.
//!
//! Reading order: [`jdk`], [`tool`], [`product`] (with [`archive`]), `jre` (with `truststore`), `source`; the build that
//! joins them is here.

pub mod archive;
mod boot;
mod causes;
mod class_file;
mod class_path;
mod dropwizard;
mod install;
pub mod jdk;
mod jre;
mod licences;
mod main_class;
mod modules;
mod offline;
mod plain;
mod preloaded;
mod procfile;
pub mod product;
mod server;
mod source;
pub mod tool;
mod truststore;

use std::path::Path;

use cnb_buildpack::context::var;
use cnb_buildpack::detection::Version;
use cnb_buildpack::layer::{LayerTypes, metadata};
use cnb_buildpack::wanted;
use cnb_buildpack::{
    BuildContext, Buildpack, DetectContext, Detection, Failure, Intent, Process, assets, tree,
};
use cnb_spec::env::Env;

use archive::Runnable;
use jdk::Jdk;
use product::{Layout, Product};
use tool::Tool;

/// The buildpack.
#[derive(Clone, Copy, Debug)]
pub struct Java;

/// The layer of what the build made.
const LAYER: &str = "product";
/// Variables that ask for a version, the first first; the second is that of Paketo.
const VERSIONS: [&str; 2] = ["CNB_JAVA_VERSION", "BP_JVM_VERSION"];
/// The variable that names the module to start.
const MODULE: &str = "CNB_JAVA_MODULE";
/// What frameworks call the port that others read from `PORT`.
const PORTS: &str = "SERVER_PORT=${SERVER_PORT:-$PORT} QUARKUS_HTTP_PORT=${QUARKUS_HTTP_PORT:-$PORT} MICRONAUT_SERVER_PORT=${MICRONAUT_SERVER_PORT:-$PORT}";
/// A share of the memory, in percent, that is kept from the heap beyond the usual quarter; as Paketo calls it.
const HEAD_ROOM: &str = "${BPL_JVM_HEAD_ROOM:+-XX:MaxRAMPercentage=$((75-BPL_JVM_HEAD_ROOM))}";

impl Buildpack for Java {
    fn detect(&self, cx: &DetectContext) -> Result<Detection, Failure> {
        let tool = Tool::of(&cx.app_dir);
        let because = match tool {
            Some(Tool::Maven) => "a `pom.xml`".to_owned(),
            Some(Tool::Gradle) => "a Gradle build".to_owned(),
            None => match prebuilt(&cx.app_dir) {
                Some(name) => format!("`{name}`, which can be started"),
                None => match plain::root(&cx.app_dir) {
                    Some(root) => format!("source with a `main` in `{root}`"),
                    None => return Ok(Detection::would_need(need(&cx.app_dir))),
                },
            },
        };
        // Which archive that is, the build decides.
        let web = match (tool, prebuilt(&cx.app_dir)) {
            (None, Some(name)) => format!("java -jar {name}"),
            (tool, _) => format!("java -jar {}/*.jar", tool.map_or("", Tool::output)),
        };
        let wish = jdk::wishes(&cx.app_dir, &asked(&cx.env)).into_iter().flatten().next();
        let args = tool.map(|t| t.arguments(&cx.app_dir, cx.var(t.variables()[0]), cx.var(t.variables()[1])));
        let intent = Intent {
            because,
            versions: wish
                .into_iter()
                .map(|w| Version { of: "java".to_owned(), version: w.version, source: w.source })
                .collect(),
            commands: tool
                .zip(args)
                .map(|(t, a)| format!("{} {}", t.name(), a.join(" ")))
                .into_iter()
                .collect(),
            processes: [("web".to_owned(), web)].into(),
        };
        let detection = Detection::intends("java", &intent)?;
        Ok(if assets::front_end(&cx.app_dir).is_some() { detection.or_with(assets::NAME) } else { detection })
    }

    fn build(&self, cx: &BuildContext) -> Result<(), Failure> {
        let jdk = choose(cx)?;
        let web = procfile::web(&cx.app_dir);
        let tool = Tool::of(&cx.app_dir);
        let plain = plain::root(&cx.app_dir).filter(|_| tool.is_none());
        let layout = made(cx, tool, &jdk, web.as_deref())?;
        jre::install(cx, &jdk, &modules::chosen(cx, &layout.modules))?;
        if !layout.server.is_empty() {
            server::install(cx, &jdk, &layout.server)?;
        }
        source::remove(&cx.app_dir)?;
        if let Some(root) = plain.filter(|_| layout.arguments.starts_with("-cp classes")) {
            plain::remove(&cx.app_dir, root)?;
        }
        if let Some(archive) = &layout.unpacked {
            tree::remove(&cx.app_dir.join(archive))?;
        }
        if let Some(sbom) = cx.kept_sbom(LAYER) {
            cx.write_launch_sbom(&sbom)?;
        }
        let files = cx.layer_path(LAYER).join("files");
        for entry in fs_err::read_dir(&files)? {
            let entry = entry?;
            tree::copy(&entry.path(), &cx.app_dir.join(entry.file_name()))?;
        }
        if web.is_some() {
            return cx.write_sliced_launch(Vec::new(), layout.slices);
        }
        let arguments = if layout.server.is_empty() { layout.arguments } else { server::arguments(cx) };
        let line = if layout.program.is_empty() {
            format!("java {HEAD_ROOM} $JAVA_OPTS {arguments}")
        } else {
            format!("{} {arguments}", layout.program)
        };
        cx.log.step(format!("web: {}", shown(&line)));
        let line = format!("{PORTS} exec {}", line.trim());
        cx.write_sliced_launch(vec![Process::shell("web", &line).default()], layout.slices)
    }
}

/// A command line as the user reads it: of a long class path its first part alone.
fn shown(line: &str) -> String {
    let words = line.split_whitespace().filter(|word| ![HEAD_ROOM, "$JAVA_OPTS"].contains(word)).map(
        |word| match word.split_once(':').filter(|(first, rest)| !first.contains('=') && rest.contains(':')) {
            Some((first, rest)) => format!("{first}:… ({} more)", rest.split(':').count()),
            None => word.to_owned(),
        },
    );
    words.collect::<Vec<_>>().join(" ")
}

/// Builds the app into a layer that is not part of the image itself, unless nothing changed since the last build.
fn made(cx: &BuildContext, tool: Option<Tool>, jdk: &Jdk, web: Option<&str>) -> Result<Layout, Failure> {
    let files = tree::snapshot(&cx.app_dir, &|p| p == Path::new(".git"))?;
    let mut key = tree::Key::default()
        .with("format", "7")
        .with("java", &jdk.version)
        .with("whole", if web.is_some() { "yes" } else { "no" })
        .with_snapshot("files", &files);
    let variables = tool.map(Tool::variables).unwrap_or_default();
    for name in variables.iter().filter(|n| !n.is_empty()).chain(&[
        MODULE,
        main_class::VARIABLE,
        boot::AOT,
        "MAVEN_OPTS",
        "GRADLE_OPTS",
    ]) {
        key = key.with(name, cx.var(name).unwrap_or_default());
    }
    let key = key.finish();
    let args = tool.map(|tool| tool.arguments_of(cx)).unwrap_or_default();
    let packages = offline::key(cx, &files, &args)?;
    let module = cx.var(MODULE).or_else(|| tool.and_then(|t| cx.var(t.variables()[2])));
    let restored = cx.restored_metadata(LAYER);
    let known = restored.get("key").and_then(toml::Value::as_str) == Some(&key);
    let kept = known.then(|| read_layout(&restored)).flatten();
    if tool.is_some() {
        tool::keep(cx)?;
    }
    let kept = kept.filter(|_| cx.is_reusable(LAYER, LayerTypes::CACHE, &restored));
    if let Some(layout) = kept
        && class_path::keep(cx, &layout.arguments)?
    {
        cx.log.step("nothing changed: what the last build made is used again");
        cx.cached_layer(LAYER, LayerTypes::CACHE, &restored, |_| Ok(None))?;
        return Ok(layout);
    }
    if let Some(tool) = tool {
        let same = restored.get("packages").and_then(toml::Value::as_str) == Some(&packages);
        tool.build(cx, jdk, same && offline::is_settled(&tool::repository(cx)))?;
    }
    let product = find(cx, tool, jdk, web, &Found { module, packages: &packages, all: &key })?;
    let scratch = cx.layers_dir.join(".product");
    tree::remove(&scratch)?;
    fs_err::create_dir_all(&scratch)?;
    let mut layout = product.lay_out(&cx.app_dir, &scratch, web.is_some())?;
    if let Some((before, after)) = dropwizard::arguments(&cx.app_dir).filter(|_| layout.program.is_empty()) {
        layout.arguments = format!("{before}{}{after}", layout.arguments);
    }
    let unpacked = if matches!(product, Product::Folder(_)) { &cx.app_dir } else { &scratch };
    layout.arguments.insert_str(0, boot::ahead_of_time(cx, unpacked));
    let needs = modules::of(cx, jdk, &product, &restored)?;
    layout.modules = needs.modules;
    let sbom = licences::complete(product.components(&cx.app_dir)?, &tool::repository(cx));
    let slices: Vec<String> = layout.slices.iter().map(|s| s.join("\n")).collect();
    let metadata = metadata(&[
        ("key", &key),
        ("packages", &packages),
        ("arguments", &layout.arguments),
        ("slices", &slices.join("\n\n")),
        ("modules", &layout.modules),
        ("references", &needs.references),
        ("program", &layout.program),
        ("server", &layout.server),
        ("unpacked", layout.unpacked.as_deref().unwrap_or_default()),
    ]);
    cx.cached_layer(LAYER, LayerTypes::CACHE, &metadata, |layer| {
        tree::move_to(&scratch, &layer.path.join("files"))?;
        Ok(Some(sbom.into_iter().collect()))
    })?;
    Ok(layout)
}

/// What decides which product is looked for.
struct Found<'a> {
    module: Option<&'a str>,
    /// A key over what names packages.
    packages: &'a str,
    /// A key over everything.
    all: &'a str,
}

/// Finds what the build made.
fn find(
    cx: &BuildContext,
    tool: Option<Tool>,
    jdk: &Jdk,
    web: Option<&str>,
    known: &Found<'_>,
) -> Result<Product, Failure> {
    let app = &cx.app_dir;
    let named = web.map(|command| procfile::named(app, command)).unwrap_or_default();
    if !named.is_empty() {
        return Ok(Product::Named(named));
    }
    let root = known.module.map_or_else(|| app.clone(), |module| app.join(module));
    let found = product::find(app, tool, known.module);
    let is_whole = match (&found, tool) {
        (Ok(Product::Archive(archive)), Some(Tool::Maven)) => !class_path::is_thin(archive, &root),
        (found, tool) => found.is_ok() || tool != Some(Tool::Maven),
    };
    if is_whole {
        if let (Err(_), None, Some(source)) = (&found, tool, plain::root(app)) {
            return plain::build(cx, jdk, source);
        }
        return found;
    }
    let packages = if class_path::has_modules(app) { known.all } else { known.packages };
    class_path::find(cx, jdk, known.module, packages)?.map_or(found, Ok)
}

fn read_layout(restored: &toml::Table) -> Option<Layout> {
    let text = |name: &str| restored.get(name).and_then(toml::Value::as_str);
    let slices = text("slices")?.split("\n\n").filter(|s| !s.is_empty());
    Some(Layout {
        arguments: text("arguments")?.to_owned(),
        slices: slices.map(|s| s.lines().map(str::to_owned).collect()).collect(),
        modules: text("modules")?.to_owned(),
        program: text("program")?.to_owned(),
        server: text("server")?.to_owned(),
        unpacked: text("unpacked").filter(|u| !u.is_empty()).map(str::to_owned),
    })
}

fn asked(env: &Env) -> [(&'static str, Option<&str>); 2] {
    VERSIONS.map(|name| (name, var(env, name)))
}

/// What is in the app's folder that can be started.
fn prebuilt(app: &Path) -> Option<String> {
    match product::find(app, None, None).ok()? {
        Product::Archive(Runnable { file, .. }) | Product::War(file) => {
            Some(file.file_name()?.to_string_lossy().into_owned())
        }
        Product::Quarkus(_) => Some("quarkus-app".to_owned()),
        Product::Folder(_) => Some("META-INF/MANIFEST.MF".to_owned()),
        Product::Named(_) | Product::Classes { .. } | Product::Installed(_) => None,
    }
}

/// What an app that is not for this buildpack lacks.
fn need(app: &Path) -> &'static str {
    let others = [
        ("build.sbt", "an executable jar in the app's folder: sbt is not run (build one with sbt-assembly)"),
        (
            "build.xml",
            "an executable jar in the app's folder: Ant is not run (build one with its task `jar`)",
        ),
        (
            "project.clj",
            "an executable jar in the app's folder: Leiningen is not run (`lein uberjar` builds one)",
        ),
    ];
    let usual = "a `pom.xml`, a `build.gradle`, an executable jar, or source with a `main`";
    others.iter().find(|(name, _)| app.join(name).is_file()).map_or(usual, |(_, need)| need)
}

/// Chooses the development kit.
fn choose(cx: &BuildContext) -> Result<Jdk, Failure> {
    let wish = wanted::choose(&cx.log, "Java", jdk::wishes(&cx.app_dir, &asked(&cx.env)));
    let number = match &wish {
        None => None,
        Some(wish) => Some(jdk::major(&wish.version).ok_or_else(|| {
            Failure::new(format!("`{}` in {} is no version of Java", wish.version, wish.source))
                .next("write a version, such as `17` or `21.0.1`")
        })?),
    };
    let all = Jdk::all(&cx.env);
    let asks = wish.as_ref().map(|w| format!(", {} asks for {}", w.source, w.version)).unwrap_or_default();
    if let Some(found) = jdk::choose(&all, number) {
        let is_minimum = wish.as_ref().is_none_or(jdk::is_minimum);
        let text = format!("Java {} (of this machine{asks})", found.version);
        if is_minimum || number == Some(found.major) {
            cx.log.step(text);
        } else {
            cx.log.warning(format!("{text}: it is the nearest one here"));
        }
        return Ok(found.clone());
    }
    let minimum = jdk::wishes(&cx.app_dir, &[]).into_iter().flatten().find(jdk::is_minimum);
    let enough = minimum.as_ref().and_then(|w| jdk::major(&w.version));
    // A pin in a file that is newer than what the build file compiles for is a preference.
    let is_demand = wish.as_ref().is_some_and(|w| VERSIONS.contains(&w.source.as_str()));
    if let (false, Some(least), Some(minimum)) = (is_demand, enough, &minimum)
        && let Some(kit) = all.iter().filter(|kit| kit.major >= least).max_by_key(|kit| kit.major)
    {
        cx.log.warning(format!(
            "Java {} (of this machine{asks}): it is the nearest one here, and {} compiles for {}",
            kit.version, minimum.source, minimum.version
        ));
        return Ok(kit.clone());
    }
    let there: Vec<&str> = all.iter().map(|kit| kit.version.as_str()).collect();
    Err(Failure::new("there is no Java development kit on this machine that is new enough")
        .because(format!("available: {}{asks}", if there.is_empty() { "none".to_owned() } else { there.join(", ") }))
        .next("install one (such as openjdk-21-jdk-headless), or ask for one of these with `--env CNB_JAVA_VERSION=…`"))
}

#[cfg(test)]
mod tests {
    use super::{HEAD_ROOM, shown};

    #[test]
    fn a_long_class_path_is_shown_by_its_length() {
        assert_eq!(
            shown(&format!("java {HEAD_ROOM} $JAVA_OPTS -cp classes:a.jar:b.jar Main")),
            "java -cp classes:… (2 more) Main"
        );
        assert_eq!(shown("java -Da=b:c:d -jar x.jar "), "java -Da=b:c:d -jar x.jar");
    }
}
