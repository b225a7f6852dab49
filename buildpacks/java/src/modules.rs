//! Which modules of Java the runtime is made of.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use cnb_buildpack::command::Command;
use cnb_buildpack::{BuildContext, Failure, tree};

use crate::jdk::Jdk;
use crate::product::Product;
use crate::{archive, class_file};

/// The variable that names them, separated by commas.
pub(crate) const VARIABLE: &str = "CNB_JAVA_MODULES";
/// The modules of every runtime: all of Java SE, and what frameworks reach by names in texts, where `jdeps` does not
/// see it.
const USUAL: &str = "java.se,jdk.charsets,jdk.crypto.cryptoki,jdk.crypto.ec,jdk.httpserver,jdk.jcmd,jdk.jfr,jdk.localedata,jdk.management,jdk.management.agent,jdk.naming.dns,jdk.net,jdk.unsupported,jdk.zipfs";
/// What comes to those that `jdeps` sees, since Java finds it by names in texts: encryption, files within archives.
const ALWAYS: &str = "java.logging,jdk.crypto.ec,jdk.unsupported,jdk.zipfs";
/// What comes to a module that `jdeps` sees, since that finds it by names in texts.
const BESIDE: &[(&str, &str)] =
    &[("java.management", "jdk.management"), ("java.naming", "jdk.naming.dns"), ("java.xml", CHARSETS)];
/// The words of all languages, a third of a small runtime: for apps that choose a language, or write dates or numbers
/// in one.
const LANGUAGES: &str = "jdk.localedata";
/// What such apps refer to.
const OF_LANGUAGES: &[&str] =
    &["java/util/Locale", "java/text/", "java/time/format/", "java/util/ResourceBundle"];
/// The character sets that few use.
const CHARSETS: &str = "jdk.charsets";
/// What apps refer to that choose one by its name.
const OF_CHARSETS: &[&str] = &[
    "java/nio/charset/Charset",
    "(Ljava/lang/String;)[B",
    "([BLjava/lang/String;)V",
    "(Ljava/io/InputStream;Ljava/lang/String;)V",
    "(Ljava/io/OutputStream;Ljava/lang/String;)V",
];

/// What a product needs of Java.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Its modules, separated by commas; empty for the usual ones.
    pub(crate) modules: String,
    /// A key over what its classes refer to, which decides the modules.
    pub(crate) references: String,
}

/// Tells the modules of a product; those of the last build where its classes refer to what they did then.
///
/// Only an app without libraries says by its classes alone what it needs.
pub(crate) fn of(
    cx: &BuildContext,
    jdk: &Jdk,
    product: &Product,
    restored: &toml::Table,
) -> Result<Needs, Failure> {
    let path = match product {
        Product::Classes { folder, libraries, .. } if libraries.is_empty() => folder,
        Product::Archive(archive) if is_alone(archive) => &archive.file,
        _ => return Ok(Needs::default()),
    };
    let names = references(path)?;
    let references = tree::Key::default()
        .with("format", "1")
        .with("java", &jdk.version)
        .with("names", names.join("\n"))
        .finish();
    let text = |name: &str| restored.get(name).and_then(toml::Value::as_str);
    if text("references") == Some(&references)
        && let Some(modules) = text("modules")
    {
        return Ok(Needs { modules: modules.to_owned(), references });
    }
    let jdeps = jdk.home.join("bin/jdeps");
    if !jdeps.is_file() {
        return Ok(Needs::default());
    }
    let output = Command::new(jdeps, &cx.app_dir, &cx.env)
        .args(["--print-module-deps", "--ignore-missing-deps", "--multi-release", &jdk.major.to_string()])
        .args([path])
        .quietly()?;
    let seen = output.stdout.lines().last().unwrap_or_default().trim();
    let is_list =
        !seen.is_empty() && seen.split(',').all(|name| name.starts_with("java.") || name.starts_with("jdk."));
    // What `jdeps` cannot read has the usual modules, which are enough for all.
    let modules = if output.success && is_list { complete(seen, &names) } else { String::new() };
    Ok(Needs { modules, references })
}

/// Adds to the modules that `jdeps` sees in classes what it cannot see, for classes that refer to `names`.
fn complete(seen: &str, names: &[String]) -> String {
    let mut modules = vec![seen, ALWAYS];
    modules.extend(
        BESIDE.iter().filter(|(module, _)| seen.split(',').any(|s| s == *module)).map(|(_, beside)| beside),
    );
    if names.iter().any(|name| OF_LANGUAGES.iter().any(|part| name.contains(part))) {
        modules.push(LANGUAGES);
    }
    if names.iter().any(|name| OF_CHARSETS.contains(&name.as_str())) {
        modules.push(CHARSETS);
    }
    modules.join(",")
}

/// Lists what the classes of a folder or an archive refer to.
fn references(path: &Path) -> Result<Vec<String>, Failure> {
    let mut names = BTreeSet::new();
    if path.is_dir() {
        let classes = tree::snapshot(path, &|_| false)?.into_keys();
        for class in classes.filter(|file| archive::has_ending(file, &["class"])) {
            class_file::references(&fs_err::read(path.join(class))?, &mut names);
        }
    } else {
        archive::classes(path, |class| {
            class_file::references(class, &mut names);
            ControlFlow::Continue(())
        });
    }
    Ok(names.into_iter().collect())
}

fn is_alone(archive: &archive::Runnable) -> bool {
    let is_service =
        |path: &Path| path.starts_with("META-INF/services") || archive::has_ending(path, &["jar"]);
    !archive.is_spring_boot
        && archive.class_path.is_empty()
        && archive::components(&archive.file).len() <= 1
        && archive::count(&archive.file, is_service) == 0
}

/// Tells the modules to link: those that the user names, else those of the product, else the usual ones.
pub(crate) fn chosen(cx: &BuildContext, of_product: &str) -> String {
    let words = cx.var(VARIABLE).unwrap_or(if of_product.is_empty() { USUAL } else { of_product });
    let mut names: Vec<&str> = words.split([',', ' ']).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn what_classes_find_by_names_in_texts_is_there_where_they_look_for_it() {
        let of = |seen: &str, names: &[&str]| {
            complete(seen, &names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
        };
        let plain = of("java.base", &["java/lang/String", "(Ljava/nio/charset/Charset;)[B"]);
        assert_eq!(plain, "java.base,java.logging,jdk.crypto.ec,jdk.unsupported,jdk.zipfs");
        assert!(of("java.base,java.management", &[]).ends_with(",jdk.management"));
        assert!(of("java.xml", &[]).ends_with(",jdk.charsets"));
        assert!(of("java.base", &["()Ljava/util/Locale;"]).ends_with(",jdk.localedata"));
        assert!(of("java.base", &["java/nio/charset/Charset"]).ends_with(",jdk.charsets"));
    }
}
