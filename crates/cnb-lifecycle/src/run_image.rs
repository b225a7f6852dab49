//! Which run image the label of an app image names, so that it can be rebased (requirement E32).

use cnb_spec::platform::run_toml::{RunFile, RunImage};

/// Returns the offered run image that `used`, the name that analysis recorded, belongs to.
///
/// Without any offer nothing is named.
pub fn offered(run: &RunFile, used: &str) -> Option<RunImage> {
    if run.images.is_empty() {
        return Some(RunImage::default());
    }
    run.images.iter().find(|image| image.contains(used)).cloned()
}

/// Returns what is named when `used` is none of the offered run images: itself where an extension may have
/// chosen it, else the first that is offered.
pub fn unlisted(run: &RunFile, used: &str, has_extensions: bool) -> RunImage {
    if has_extensions {
        return RunImage { image: used.to_owned(), mirrors: Vec::new() };
    }
    run.images.first().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_that_was_used_is_named_with_its_mirrors() {
        let image = |name: &str| RunImage { image: name.into(), mirrors: vec![format!("mirror.io/{name}")] };
        let run = RunFile { images: vec![image("one"), image("two")] };
        let digest = format!("mirror.io/two@sha256:{}", "ab".repeat(32));
        assert_eq!(offered(&run, &digest), Some(image("two")));
        assert_eq!(offered(&run, "other"), None);
        assert_eq!(unlisted(&run, "other", false), image("one"));
        assert_eq!(unlisted(&run, "other", true).image, "other");
        assert_eq!(offered(&RunFile::default(), "other"), Some(RunImage::default()));
    }
}
