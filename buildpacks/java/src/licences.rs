//! What Maven's own descriptions of packages, which its repository on the disk has, say of the libraries of an app: the
//! licence, and the group of those that are known by the name of their file alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cnb_buildpack::sbom::{Component, purl_segment};

/// How many parents of a description are read.
const PARENTS: usize = 8;
/// What licences are called, in small letters, and what SPDX calls them; all words of a line have to be there.
const NAMES: &[(&[&str], &str)] = &[
    (&["apache", "2"], "Apache-2.0"),
    (&["apache", "1.1"], "Apache-1.1"),
    (&["asl", "2"], "Apache-2.0"),
    (&["lgpl", "3"], "LGPL-3.0-or-later"),
    (&["lgpl"], "LGPL-2.1-or-later"),
    (&["lesser", "3"], "LGPL-3.0-or-later"),
    (&["lesser"], "LGPL-2.1-or-later"),
    (&["classpath"], "GPL-2.0-only WITH Classpath-exception-2.0"),
    (&["gpl2", "cpe"], "GPL-2.0-only WITH Classpath-exception-2.0"),
    (&["gpl", "3"], "GPL-3.0-only"),
    (&["general public", "3"], "GPL-3.0-only"),
    (&["gpl", "2"], "GPL-2.0-only"),
    (&["general public", "2"], "GPL-2.0-only"),
    (&["cddl", "1.1"], "CDDL-1.1"),
    (&["cddl"], "CDDL-1.0"),
    (&["eclipse distribution"], "BSD-3-Clause"),
    (&["edl"], "BSD-3-Clause"),
    (&["eclipse public", "2"], "EPL-2.0"),
    (&["epl", "2"], "EPL-2.0"),
    (&["eclipse public"], "EPL-1.0"),
    (&["epl", "1"], "EPL-1.0"),
    (&["mozilla", "1.1"], "MPL-1.1"),
    (&["mpl", "1.1"], "MPL-1.1"),
    (&["mozilla", "2"], "MPL-2.0"),
    (&["mpl", "2"], "MPL-2.0"),
    (&["bsd", "2"], "BSD-2-Clause"),
    (&["simplified bsd"], "BSD-2-Clause"),
    (&["bsd"], "BSD-3-Clause"),
    (&["bouncy castle"], "MIT"),
    (&["mit-0"], "MIT-0"),
    (&["mit"], "MIT"),
    (&["universal permissive"], "UPL-1.0"),
    (&["upl"], "UPL-1.0"),
    (&["cc0"], "CC0-1.0"),
    (&["isc"], "ISC"),
    (&["unlicense"], "Unlicense"),
];

/// Adds what the repository knows.
pub(crate) fn complete(components: Vec<Component>, repository: &Path) -> Vec<Component> {
    let mut index = BTreeMap::new();
    if repository.is_dir() {
        list(repository, repository, &mut index);
    }
    components.into_iter().map(|component| of_one(component, repository, &index)).collect()
}

/// Descriptions by the name and version of what they describe.
type Index = BTreeMap<(String, String), PathBuf>;

/// Lists descriptions, which lie at `group/…/name/version/name-version.pom`.
fn list(root: &Path, dir: &Path, found: &mut Index) {
    for entry in fs_err::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(root, &path, found);
        } else if path.extension().is_some_and(|e| e == "pom") {
            let inside = path.strip_prefix(root).unwrap_or(&path);
            let part = |n: usize| {
                let up = inside.ancestors().nth(n)?.file_name()?;
                Some(up.to_string_lossy().into_owned())
            };
            if let (Some(version), Some(name)) = (part(1), part(2)) {
                found.insert((name, version), path);
            }
        }
    }
}

fn of_one(component: Component, repository: &Path, index: &Index) -> Component {
    let key = (component.name.clone(), component.version.clone());
    let of_purl = component
        .purl
        .strip_prefix("pkg:maven/")
        .and_then(|rest| rest.split_once('/'))
        .map(|(group, _)| pom(repository, group, &key.0, &key.1));
    let Some(file) = of_purl.filter(|file| file.is_file()).or_else(|| index.get(&key).cloned()) else {
        return component;
    };
    let group = file.ancestors().nth(3).and_then(|dir| dir.strip_prefix(repository).ok());
    let group = group.map(|dir| dir.to_string_lossy().replace('/', ".")).unwrap_or_default();
    let purl = if component.purl.starts_with("pkg:maven/") {
        component.purl.clone()
    } else {
        format!("pkg:maven/{}/{}@{}", purl_segment(&group), purl_segment(&key.0), purl_segment(&key.1))
    };
    let license = license(&file, repository, PARENTS);
    Component::new(component.kind, &key.0, &key.1, purl).license(license.as_deref())
}

fn pom(repository: &Path, group: &str, name: &str, version: &str) -> PathBuf {
    repository.join(group.replace('.', "/")).join(name).join(version).join(format!("{name}-{version}.pom"))
}

/// The licences of a description or of the nearest parent that names some; of several the user has the choice.
fn license(file: &Path, repository: &Path, parents: usize) -> Option<String> {
    let text = fs_err::read_to_string(file).ok()?;
    if let Some(all) = between(&text, "licenses") {
        let mut found: Vec<&str> = Vec::new();
        for one in all.split("<license>").skip(1) {
            let words = [between(one, "name"), between(one, "url")].map(Option::unwrap_or_default);
            found.extend(words.iter().find_map(|w| spdx(w)).filter(|id| !found.contains(id)));
        }
        return (!found.is_empty()).then(|| found.join(" OR "));
    }
    let parent = between(&text, "parent").filter(|_| parents > 0)?;
    let value = |name: &str| between(parent, name).map(str::trim);
    let file = pom(repository, value("groupId")?, value("artifactId")?, value("version")?);
    license(&file, repository, parents - 1)
}

fn between<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.split_once(&format!("<{name}>"))?.1;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

fn spdx(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    NAMES.iter().find(|(words, _)| words.iter().all(|word| name.contains(word))).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use cnb_buildpack::sbom::{Component, Kind, Sbom};

    use super::{complete, spdx};

    #[test]
    fn licences_have_many_names() {
        for (name, id) in [
            ("The Apache Software License, Version 2.0", "Apache-2.0"),
            ("Apache-2.0", "Apache-2.0"),
            ("GNU Lesser General Public License", "LGPL-2.1-or-later"),
            ("EDL 1.0", "BSD-3-Clause"),
            ("Eclipse Public License - v 2.0", "EPL-2.0"),
            ("The MIT License", "MIT"),
            ("GPL2 w/ CPE", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ] {
            assert_eq!(spdx(name), Some(id), "{name}");
        }
        assert_eq!(spdx("Our own"), None);
    }

    #[test]
    fn the_repository_knows_groups_and_licences_also_of_parents() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let file = dir.path().join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, text).unwrap();
        };
        write(
            "org/example/all/2/all-2.pom",
            "<project><licenses><license><name>MIT</name></license><license><name>EPL 2.0</name></license></licenses></project>",
        );
        write(
            "org/example/lib/1.0/lib-1.0.pom",
            "<project><parent><groupId>org.example</groupId><artifactId>all</artifactId><version>2</version></parent></project>",
        );
        let named = Component::new(Kind::Library, "lib", "1.0", "pkg:generic/lib@1.0".into());
        let other = Component::new(Kind::Library, "other", "1.0", "pkg:generic/other@1.0".into());
        let sbom: Sbom = complete(vec![named, other], dir.path()).into_iter().collect();
        let text = sbom.to_cyclonedx();
        assert!(text.contains("pkg:maven/org.example/lib@1.0") && text.contains("MIT OR EPL-2.0"), "{text}");
        assert!(text.contains("pkg:generic/other@1.0"));
    }
}
