//! Which files of the source enter the build: the first rule file that exists decides.

use std::path::Path;

use cnb_fs::FsError;
use cnb_spec::project::project_toml::Files;

use super::pattern::{Language, PatternError, Patterns};
use super::{Remedy, SourceError};

/// What decides which files enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleSource {
    /// Nothing: all enter.
    #[default]
    Nothing,
    /// `include` or `exclude` in `project.toml`.
    ProjectToml,
    /// `.cnbignore`, in the language of `.gitignore`.
    CnbIgnore,
    /// `.dockerignore`, in Docker's language.
    DockerIgnore,
}

impl RuleSource {
    /// Returns where a path is named so that it stays out.
    pub(super) fn remedy(self) -> Remedy {
        match self {
            Self::Nothing | Self::CnbIgnore => Remedy::CnbIgnore,
            Self::ProjectToml => Remedy::ProjectToml,
            Self::DockerIgnore => Remedy::DockerIgnore,
        }
    }
}

/// The rules of one build.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) source: RuleSource,
    mode: RuleMode,
}

#[derive(Debug)]
enum RuleMode {
    All,
    Only(Patterns),
    Without(Patterns),
}

/// What happens to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is copied.
    Enters,
    /// A directory that does not enter itself, but something below it may.
    OnlyBelow,
    /// It stays out, with all below it.
    StaysOut,
}

impl Rules {
    /// Reads the rules of the source at `root`.
    pub(super) fn read(root: &Path, files: &Files) -> Result<Self, SourceError> {
        let from_list = |list: &[String]| {
            let lines = list.iter().map(String::as_str);
            Patterns::parse(Path::new("project.toml"), lines, Language::Git, false)
        };
        let (source, mode) = match files {
            Files::Include(list) => (RuleSource::ProjectToml, RuleMode::Only(from_list(list)?)),
            Files::Exclude(list) => (RuleSource::ProjectToml, RuleMode::Without(from_list(list)?)),
            Files::Unsaid => match Self::file(root, ".cnbignore", Language::Git)? {
                Some(patterns) => (RuleSource::CnbIgnore, RuleMode::Without(patterns)),
                None => match Self::file(root, ".dockerignore", Language::Docker)? {
                    Some(patterns) if !patterns.leaves_out_all() => {
                        (RuleSource::DockerIgnore, RuleMode::Without(patterns))
                    }
                    // It lets in what was built before, for a Dockerfile that copies it; the source is none of that.
                    Some(_) | None => (RuleSource::Nothing, RuleMode::All),
                },
            },
        };
        Ok(Self { source, mode })
    }

    fn file(root: &Path, name: &str, language: Language) -> Result<Option<Patterns>, SourceError> {
        let path = root.join(name);
        let bytes = match fs_err::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FsError::on("read", &path)(e).into()),
        };
        let text = String::from_utf8(bytes).map_err(|e| PatternError {
            file: path.clone(),
            line: None,
            pattern: String::new(),
            reason: format!("not UTF-8 at byte {}", e.utf8_error().valid_up_to()),
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        Ok(Some(Patterns::parse(&path, text.lines(), language, true)?))
    }

    /// Decides about one entry; `path` is relative to the source.
    pub(super) fn decide(&self, path: &Path, is_dir: bool, scratch: &mut Vec<usize>) -> Verdict {
        match &self.mode {
            RuleMode::All => Verdict::Enters,
            RuleMode::Without(patterns) => match patterns.matches(path, is_dir, scratch) {
                false => Verdict::Enters,
                true if is_dir && patterns.has_negation() => Verdict::OnlyBelow,
                true => Verdict::StaysOut,
            },
            RuleMode::Only(patterns) => match patterns.matches(path, is_dir, scratch) {
                true => Verdict::Enters,
                false if is_dir => Verdict::OnlyBelow,
                false => Verdict::StaysOut,
            },
        }
    }
}
