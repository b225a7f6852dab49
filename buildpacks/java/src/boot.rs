//! Archives of Spring Boot: the order in which their parts change, which they name themselves.

use std::path::Path;

/// The files that list the layers, in jars and in wars.
const INDEXES: [&str; 2] = ["BOOT-INF/layers.idx", "WEB-INF/layers.idx"];

/// Returns the layers of an unpacked archive as slices, the one that changes least first; the last one, the app's own
/// classes, is left to the rest. Archives without a list have the usual ones.
pub(crate) fn slices(dir: &Path) -> Vec<Vec<String>> {
    let text = INDEXES.iter().find_map(|name| fs_err::read_to_string(dir.join(name)).ok());
    let mut layers = text.map(|text| layers(&text)).unwrap_or_default();
    layers.pop();
    layers.retain(|paths| !paths.is_empty());
    if !layers.is_empty() {
        return layers;
    }
    let usual = [
        ["BOOT-INF/lib/**", "WEB-INF/lib/**", "WEB-INF/lib-provided/**"].as_slice(),
        ["org/springframework/boot/loader/**"].as_slice(),
    ];
    usual.iter().map(|paths| paths.iter().map(|&p| p.to_owned()).collect()).collect()
}

/// Reads the list: a name for each layer, and below it paths, folders with a slash at their end.
fn layers(text: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let entry = line.trim().trim_start_matches("- ").trim_end_matches(':').trim_matches('"');
        if line.starts_with('-') {
            found.push(Vec::new());
        } else if let (Some(layer), false) = (found.last_mut(), entry.is_empty()) {
            layer.push(if entry.ends_with('/') { format!("{entry}**") } else { entry.to_owned() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::slices;

    #[test]
    fn an_archive_names_its_layers() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(slices(dir.path())[1], ["org/springframework/boot/loader/**"]);
        fs_err::create_dir(dir.path().join("BOOT-INF")).unwrap();
        let text = "- \"dependencies\":\n  - \"BOOT-INF/lib/a-1.jar\"\n- \"spring-boot-loader\":\n  - \"org/\"\n- \"snapshot-dependencies\":\n- \"application\":\n  - \"BOOT-INF/classes/\"\n";
        fs_err::write(dir.path().join("BOOT-INF/layers.idx"), text).unwrap();
        assert_eq!(slices(dir.path()), [vec!["BOOT-INF/lib/a-1.jar"], vec!["org/**"]]);
    }
}
