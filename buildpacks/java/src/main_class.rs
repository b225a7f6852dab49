//! Which class of a folder of compiled classes is the one to start.

use std::path::Path;

use cnb_buildpack::{Failure, tree};

use crate::{archive, class_file};

/// The variable that names the class.
pub(crate) const VARIABLE: &str = "CNB_JAVA_MAIN_CLASS";
/// What the class is usually called where there are several, the likeliest first.
const USUAL: &[&str] =
    &["Main", "MainKt", "App", "AppKt", "Application", "ApplicationKt", "Server", "ServerKt"];

/// Finds the class: the one that is asked for, else the only one with a `main`, else the one that `hint` (the text of
/// a build file) names as a main class, else the one with a usual name. `None` where no class has a `main`.
pub(crate) fn find(classes: &Path, asked: Option<&str>, hint: &str) -> Result<Option<String>, Failure> {
    if let Some(asked) = asked {
        let is_there = classes.join(format!("{}.class", asked.replace('.', "/"))).is_file();
        return Ok(is_there.then(|| asked.to_owned()));
    }
    if !classes.is_dir() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for path in tree::snapshot(classes, &|_| false)?.into_keys() {
        if archive::has_ending(&path, &["class"]) {
            found.extend(class_file::startable(&fs_err::read(classes.join(path))?));
        }
    }
    choose(found, hint).map_err(|several| {
        Failure::new("there are several classes that can be started")
            .because(several.join(", "))
            .next(format!("name one: `--env {VARIABLE}={}`", several[0]))
    })
}

fn choose(mut found: Vec<String>, hint: &str) -> Result<Option<String>, Vec<String>> {
    found.sort();
    let named: Vec<&String> = found
        .iter()
        .filter(|name| {
            ["mainClass", "main.class", "start-class", "exec.main"].iter().any(|word| {
                hint.split(word).skip(1).any(|rest| rest.lines().next().is_some_and(|line| says(line, name)))
            })
        })
        .collect();
    let simple = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let usual = || USUAL.iter().find_map(|u| one(found.iter().filter(|name| simple(name) == **u)));
    let ending = || one(found.iter().filter(|n| n.ends_with("Application") || n.ends_with("App")));
    let chosen = one(found.iter()).or_else(|| one(named.into_iter())).or_else(usual).or_else(ending);
    match chosen {
        Some(name) => Ok(Some(name.clone())),
        None if found.is_empty() => Ok(None),
        None => Err(found),
    }
}

/// Whether a line has a name as a whole, after what assigns it.
fn says(line: &str, name: &str) -> bool {
    let words = line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '$')));
    words.into_iter().find(|w| w.len() > 1).is_some_and(|word| word == name)
}

fn one<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let first = names.next();
    if names.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn of_several_classes_the_build_file_or_the_name_decides() {
        let chosen = |names: &[&str], hint: &str| choose(names.iter().map(|&n| n.to_owned()).collect(), hint);
        assert_eq!(chosen(&[], ""), Ok(None));
        assert_eq!(chosen(&["a.Tool"], ""), Ok(Some("a.Tool".into())));
        assert_eq!(chosen(&["a.B", "a.Main"], ""), Ok(Some("a.Main".into())));
        assert_eq!(chosen(&["a.B", "a.Main"], "<mainClass>a.B</mainClass>"), Ok(Some("a.B".into())));
        assert_eq!(chosen(&["a.B", "a.Main"], "mainClass = 'a.B'"), Ok(Some("a.B".into())));
        assert_eq!(chosen(&["a.B", "a.WebApplication"], ""), Ok(Some("a.WebApplication".into())));
        assert_eq!(chosen(&["a.C", "a.B"], ""), Err(vec!["a.B".into(), "a.C".into()]));
    }
}
