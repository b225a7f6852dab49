//! The Dockerfiles that extensions generate, as far as detection looks into them (requirements D10 to D12).
//!
//! Image Extension Specification, "`build.Dockerfile`" and "`run.Dockerfile`". Only the instructions and
//! their first words are read: lines, continuations, comments, the `escape` directive and here-documents.

/// What the base image of an extended stage is called.
pub const BASE_IMAGE: &str = "${base_image}";
const BASE_IMAGE_ARG: &str = "base_image";

const KNOWN: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

const RECOMMENDED: &[&str] =
    &["FROM", "ADD", "ARG", "COPY", "ENV", "LABEL", "RUN", "SHELL", "USER", "WORKDIR"];

/// Why a Dockerfile is not one that an extension may generate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    /// There is nothing in it.
    #[error("file with no instructions")]
    Empty,
    /// A line starts with a word that is no instruction.
    #[error("dockerfile parse error on line {line}: unknown instruction: {word}")]
    Unknown {
        /// The line.
        line: usize,
        /// The word.
        word: String,
    },
    /// An instruction has not what it needs.
    #[error("dockerfile parse error on line {line}: {instruction} requires {needs}")]
    Incomplete {
        /// The line.
        line: usize,
        /// The instruction.
        instruction: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// A here-document has no end.
    #[error("dockerfile parse error on line {line}: unterminated heredoc")]
    OpenHereDocument {
        /// The line where it starts.
        line: usize,
    },
    /// An instruction other than `ARG` comes before the first `FROM`.
    #[error("dockerfile parse error on line {line}: no build stage in current context")]
    NoStage {
        /// The line.
        line: usize,
    },
    /// More than one `FROM`.
    #[error("{0} is not permitted to use multistage build")]
    MultiStage(&'static str),
    /// No `FROM`.
    #[error("{0} should have at least one stage")]
    MissingStage(&'static str),
    /// A build.Dockerfile without `ARG base_image` first, or with other arguments beside it.
    #[error("build.Dockerfile did not start with required ARG command")]
    MissingArg,
    /// A build.Dockerfile on another base.
    #[error("build.Dockerfile did not contain required FROM ${{base_image}} command")]
    MissingFrom,
}

/// A Dockerfile's instructions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The name of the first variable of each `ARG` before the first `FROM`.
    pub global_args: Vec<String>,
    /// The stages.
    pub stages: Vec<Stage>,
}

/// One `FROM` and what follows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// The base image as written.
    pub base: String,
    /// The instructions: upper-case name and line.
    pub instructions: Vec<(String, usize)>,
}

/// What a run.Dockerfile does to the run image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunDockerfile {
    /// The other base that it names, if it does.
    pub new_base: Option<String>,
    /// Whether it adds to its base.
    pub extends: bool,
}

impl Dockerfile {
    /// Reads the text of a Dockerfile.
    pub fn parse(text: &str) -> Result<Self, DockerfileError> {
        let mut file = Self::default();
        let all = logical_lines(text)?;
        if all.is_empty() {
            return Err(DockerfileError::Empty);
        }
        for (line, content) in all {
            let (word, rest) = content.split_once(char::is_whitespace).unwrap_or((&content, ""));
            let name = word.to_uppercase();
            if !KNOWN.contains(&name.as_str()) {
                return Err(DockerfileError::Unknown { line, word: word.to_owned() });
            }
            let incomplete = |instruction, needs| DockerfileError::Incomplete { line, instruction, needs };
            if name == "FROM" {
                let base = rest.split_whitespace().find(|w| !w.starts_with("--"));
                let base =
                    base.ok_or_else(|| incomplete("FROM", "either one or three arguments"))?.to_owned();
                file.stages.push(Stage { base, instructions: Vec::new() });
            } else if let Some(stage) = file.stages.last_mut() {
                stage.instructions.push((name, line));
            } else if name == "ARG" {
                let arg = rest
                    .split_whitespace()
                    .next()
                    .ok_or_else(|| incomplete("ARG", "at least one argument"))?;
                file.global_args.push(arg.split('=').next().unwrap_or_default().to_owned());
            } else {
                return Err(DockerfileError::NoStage { line });
            }
        }
        Ok(file)
    }

    /// Returns the instructions that an extension should not use, with their lines (requirement D12).
    pub fn not_recommended(&self) -> impl Iterator<Item = (&str, usize)> {
        let all = self.stages.iter().flat_map(|stage| &stage.instructions);
        all.filter(|(name, _)| !RECOMMENDED.contains(&name.as_str()))
            .map(|(name, line)| (name.as_str(), *line))
    }

    /// Checks a build.Dockerfile (requirement D10).
    pub fn check_build(&self) -> Result<(), DockerfileError> {
        const FILE: &str = "build.Dockerfile";
        if self.stages.len() > 1 {
            return Err(DockerfileError::MultiStage(FILE));
        }
        if self.global_args != [BASE_IMAGE_ARG] {
            return Err(DockerfileError::MissingArg);
        }
        match self.stages.first() {
            None => Err(DockerfileError::MissingStage(FILE)),
            Some(stage) if stage.base == BASE_IMAGE => Ok(()),
            Some(_) => Err(DockerfileError::MissingFrom),
        }
    }

    /// Checks a run.Dockerfile and returns what it does (requirement D11).
    pub fn check_run(&self) -> Result<RunDockerfile, DockerfileError> {
        const FILE: &str = "run.Dockerfile";
        match &self.stages[..] {
            [] => Err(DockerfileError::MissingStage(FILE)),
            [stage] => Ok(RunDockerfile {
                new_base: (stage.base != BASE_IMAGE).then(|| stage.base.clone()),
                extends: !stage.instructions.is_empty(),
            }),
            _ => Err(DockerfileError::MultiStage(FILE)),
        }
    }
}

/// Joins continued lines and drops comments, blank lines and here-documents; lines are counted from 1.
fn logical_lines(text: &str) -> Result<Vec<(usize, String)>, DockerfileError> {
    let escape = escape_character(text);
    let mut lines = text.lines().enumerate().map(|(i, l)| (i + 1, l));
    let mut found = Vec::new();
    while let Some((start, first)) = lines.next() {
        let mut content = String::new();
        let mut current = Some(first);
        while let Some(line) = current.take() {
            // Comments and blank lines are dropped inside a continued line, too.
            let skipped = line.trim_start().starts_with('#') || line.trim().is_empty();
            let (part, continues) = match line.trim_end().strip_suffix(escape) {
                _ if skipped => ("", !content.is_empty()),
                Some(part) => (part, true),
                None => (line, false),
            };
            content.push_str(if content.is_empty() { part.trim_start() } else { part });
            if continues {
                current = lines.next().map(|(_, l)| l);
            }
        }
        for word in here_documents(&content) {
            let end = |line: &str| {
                if word.strip_tabs { line.trim_start_matches('\t') == word.end } else { line == word.end }
            };
            if !lines.by_ref().any(|(_, l)| end(l)) {
                return Err(DockerfileError::OpenHereDocument { line: start });
            }
        }
        if !content.trim().is_empty() {
            found.push((start, content.trim().to_owned()));
        }
    }
    Ok(found)
}

/// Returns the character that continues a line: a directive at the top may change it.
fn escape_character(text: &str) -> char {
    for line in text.lines() {
        let Some((key, value)) = line.trim().strip_prefix('#').and_then(|d| d.split_once('=')) else { break };
        if key.trim().eq_ignore_ascii_case("escape") && value.trim() == "`" {
            return '`';
        }
    }
    '\\'
}

struct HereDocument {
    end: String,
    strip_tabs: bool,
}

/// Returns the here-documents that an instruction opens.
fn here_documents(content: &str) -> Vec<HereDocument> {
    let name = content.split_whitespace().next().unwrap_or_default();
    if !["RUN", "COPY", "ADD"].iter().any(|i| name.eq_ignore_ascii_case(i)) {
        return Vec::new();
    }
    let open = |word: &str| {
        let after = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
        let (strip_tabs, end) = after.strip_prefix('-').map_or((false, after), |end| (true, end));
        let end = end.trim_matches(['"', '\'']);
        let named = !end.is_empty() && !end.starts_with('<');
        named.then(|| HereDocument { end: end.to_owned(), strip_tabs })
    };
    content.split_whitespace().filter_map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_build(text: &str, expected: &Result<(), DockerfileError>) {
        assert_eq!(&Dockerfile::parse(text).and_then(|d| d.check_build()), expected, "{text}");
    }

    #[test]
    fn a_build_dockerfile_has_one_arg_and_one_stage_on_the_base_image() {
        check_build("ARG base_image\nFROM ${base_image}\nRUN true\n", &Ok(()));
        check_build("# c\n\narg base_image=x\nfrom ${base_image} AS y", &Ok(()));
        check_build("FROM ${base_image}", &Err(DockerfileError::MissingArg));
        check_build("ARG base_image\nARG other\nFROM ${base_image}", &Err(DockerfileError::MissingArg));
        check_build("ARG base_image\nFROM debian", &Err(DockerfileError::MissingFrom));
        check_build("ARG base_image", &Err(DockerfileError::MissingStage("build.Dockerfile")));
        check_build(
            "ARG base_image\nFROM ${base_image}\nFROM x",
            &Err(DockerfileError::MultiStage("build.Dockerfile")),
        );
        check_build("", &Err(DockerfileError::Empty));
        check_build("RUN x", &Err(DockerfileError::NoStage { line: 1 }));
        check_build("NOPE x", &Err(DockerfileError::Unknown { line: 1, word: "NOPE".into() }));
    }

    #[track_caller]
    fn check_run(text: &str, new_base: Option<&str>, extends: bool) {
        let found = Dockerfile::parse(text).unwrap().check_run().unwrap();
        assert_eq!(found, RunDockerfile { new_base: new_base.map(str::to_owned), extends }, "{text}");
    }

    #[test]
    fn a_run_dockerfile_switches_or_extends_or_both() {
        check_run("FROM other:1", Some("other:1"), false);
        check_run("ARG base_image\nFROM ${base_image}\nRUN x", None, true);
        check_run("FROM --platform=linux/amd64 other\nUSER x", Some("other"), true);
    }

    #[test]
    fn continued_lines_comments_and_here_documents_are_one_instruction() {
        let text = "FROM x\nRUN a \\\n  # why\n\n  && b\nRUN <<EOF cat\nFROM y\nEOF\nCOPY <<-\"E\" /f\n\tFROM z\n\tE\nCMD c\n";
        let found = Dockerfile::parse(text).unwrap();
        assert_eq!(found.stages.len(), 1);
        let names: Vec<_> = found.stages[0].instructions.iter().map(|(n, l)| (n.as_str(), *l)).collect();
        assert_eq!(names, [("RUN", 2), ("RUN", 6), ("COPY", 9), ("CMD", 12)]);
        assert_eq!(found.not_recommended().collect::<Vec<_>>(), [("CMD", 12)]);
        assert_eq!(
            Dockerfile::parse("FROM x\nRUN <<E\n"),
            Err(DockerfileError::OpenHereDocument { line: 2 })
        );
    }

    #[test]
    fn the_escape_character_can_be_changed() {
        let found = Dockerfile::parse("# escape=`\nFROM x\nRUN a `\n FROM\nRUN dir \\\nUSER y").unwrap();
        assert_eq!(found.stages[0].instructions.len(), 3);
    }
}
