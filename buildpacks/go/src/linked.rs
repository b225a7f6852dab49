//! What is linked into a binary, as it says itself, for the SBOM.

use std::path::PathBuf;

use cnb_buildpack::license;
use cnb_buildpack::sbom::{Component, Kind, purl_segment};

/// Reads the output of `go version -m`.
///
/// `folders` says where the files of a module may be, which tell its licence.
pub(crate) fn components(text: &str, folders: &dyn Fn(&str, &str) -> Vec<PathBuf>) -> Vec<Component> {
    let mut found = Vec::new();
    if let Some(version) = text.lines().next().and_then(|l| l.rsplit_once(": go")).map(|(_, v)| v) {
        let purl = format!("pkg:golang/stdlib@{}", purl_segment(version));
        found.push(Component::new(Kind::Library, "stdlib", version, purl).license(Some("BSD-3-Clause")));
    }
    for line in text.lines() {
        let mut fields = line.trim().split('\t');
        // `=>` replaces the module before it.
        match fields.next() {
            Some("dep") => {}
            Some("=>") => drop(found.pop()),
            _ => continue,
        }
        if let (Some(path), version) = (fields.next(), fields.next().unwrap_or_default()) {
            let purl = format!("pkg:golang/{}@{}", purl_segment(path), purl_segment(version));
            let license = folders(path, version).iter().find_map(|dir| license::of_folder(dir));
            found.push(Component::new(Kind::Library, path, version, purl).license(license));
        }
    }
    found
}

/// The folder of a module in the module cache: capital letters are written as `!` and the small one.
pub(crate) fn escaped(path: &str, version: &str) -> String {
    let escape = |text: &str| {
        text.chars().fold(String::new(), |mut out, c| {
            if c.is_ascii_uppercase() {
                out.push('!');
            }
            out.push(c.to_ascii_lowercase());
            out
        })
    };
    format!("{}@{}", escape(path), escape(version))
}

#[cfg(test)]
mod tests {
    use super::{components, escaped};

    #[test]
    fn linked_modules_become_components() {
        let text = "/l/bin/web: go1.22.3\n\tpath\texample.com/a\n\tmod\texample.com/a\t(devel)\t\n\
                    \tdep\tgithub.com/x/y\tv1.2.3\th1:abc=\n\tdep\told.org/z\tv1.0.0\n\t=>\tnew.org/z\tv1.1.0\th1:d=\n\tbuild\t-trimpath=true\n";
        let found: Vec<String> = components(text, &|_, _| Vec::new()).into_iter().map(|c| c.purl).collect();
        assert_eq!(
            found,
            ["pkg:golang/stdlib@1.22.3", "pkg:golang/github.com/x/y@v1.2.3", "pkg:golang/new.org/z@v1.1.0"]
        );
    }

    #[test]
    fn modules_are_found_in_the_cache_whatever_letters_they_have() {
        assert_eq!(escaped("github.com/BurntSushi/toml", "v1.0.0"), "github.com/!burnt!sushi/toml@v1.0.0");
    }

    #[test]
    fn the_licence_is_that_of_the_file_in_the_module() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("LICENSE"), "Mozilla Public License Version 2.0").unwrap();
        let text = "x: go1.22.3\n\tdep\ta.org/b\tv1.0.0\th1:c=\n";
        let found = components(text, &|_, _| vec![dir.path().to_owned()]);
        assert_eq!(found[1].licenses[0].expression, "MPL-2.0");
    }
}
