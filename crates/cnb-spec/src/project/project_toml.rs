//! `project.toml`: what the author of an application wants of its build.
//!
//! Written by people, read by the platform; the lifecycle never sees it.
//! Project Descriptor Specification; requirements G1 to G12, J44 to J47. Three schemas are read: 0.1 (no
//! `schema-version`), 0.2, and 0.3, which the specification does not have: 0.2 plus `exec-env`.

mod schema;

use std::fmt;

use crate::exec_env::{ExecEnv, ExecEnvs};
use crate::id::ModuleId;
use crate::value::Metadata;

use schema::Located;

/// Everything a `project.toml` says, whichever schema it is written in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProjectDescriptor {
    /// The schema it is written in.
    pub schema: Schema,
    /// An identifier of the project.
    pub id: Option<String>,
    /// A name for people.
    pub name: Option<String>,
    /// The version of the project (J44: goes into the project label in every schema).
    pub version: Option<String>,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Where its documentation is.
    pub documentation_url: Option<String>,
    /// Where its source is (J44).
    pub source_url: Option<String>,
    /// Its licences.
    pub licenses: Vec<License>,
    /// Free-form.
    pub metadata: Metadata,
    /// The builder to use.
    pub builder: Option<String>,
    /// Which files of the source enter the build.
    pub files: Files,
    /// Build-time variables, in order; what the command line sets wins (G7).
    pub env: Vec<BuildEnv>,
    /// The buildpacks to use instead of the builder's order.
    pub group: Vec<ProjectBuildpack>,
    /// Buildpacks put before every group of the builder's order (G6, J46).
    pub pre: Vec<ProjectBuildpack>,
    /// Buildpacks put after every group of the builder's order (G6, J46).
    pub post: Vec<ProjectBuildpack>,
}

/// The schema of a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Schema {
    /// 0.1: `[project]` and `[build]`; meant when no version is given (G9).
    #[default]
    V0_1,
    /// 0.2: `[_]` and `[io.buildpacks]`.
    V0_2,
    /// 0.3: 0.2 with `exec-env` on buildpacks and variables (G10).
    V0_3,
}

/// A licence of the project; at least one of the two is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct License {
    /// An SPDX identifier.
    pub license_type: Option<String>,
    /// Where the text is.
    pub uri: Option<String>,
}

/// Which files of the source enter the build; the patterns are those of `.gitignore` (G4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Files {
    /// The descriptor says nothing about it.
    #[default]
    Unsaid,
    /// Only what a pattern matches.
    Include(Vec<String>),
    /// All but what a pattern matches.
    Exclude(Vec<String>),
}

/// A variable that the build gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildEnv {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it counts; everywhere when empty.
    pub exec_env: ExecEnvs,
}

/// A buildpack that the project asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectBuildpack {
    /// Where it comes from.
    pub source: BuildpackSource,
    /// Where it counts; everywhere when empty.
    pub exec_env: ExecEnvs,
}

/// Where a buildpack comes from (G5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildpackSource {
    /// One that the builder has; an id alone means the only version there is (J45).
    Builder {
        /// Its ID.
        id: ModuleId,
        /// Its version.
        version: Option<String>,
    },
    /// One that is fetched.
    Uri {
        /// The ID that it is expected to have.
        id: Option<ModuleId>,
        /// The address; a relative path is relative to the descriptor (J46).
        uri: String,
    },
    /// One whose build is a script in the descriptor (G8).
    Inline {
        /// Its ID.
        id: ModuleId,
        /// Its version, `0.0.0` when none is given.
        version: String,
        /// The script.
        script: Script,
    },
}

/// A build script in the descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The Buildpack API it is written for, as written.
    pub api: String,
    /// The interpreter.
    pub shell: String,
    /// The text; nothing when the script only has to exist.
    pub inline: String,
}

/// Something in a descriptor that has no effect (G9, G11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// No schema version: it is read as 0.1.
    NoSchemaVersion,
    /// Keys that the schema does not have, each with the path of its table.
    UnknownKeys(Vec<String>),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSchemaVersion => f.write_str(
                "project.toml: no schema version declared, reading it as schema 0.1; \
                 add `schema-version = \"0.2\"` to the table `[_]`",
            ),
            Self::UnknownKeys(keys) => {
                write!(f, "project.toml: keys that have no effect: `{}`", keys.join("`, `"))
            }
        }
    }
}

/// Why a descriptor cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("project.toml: {}{reason}", line.map(|n| format!("line {n}: ")).unwrap_or_default())]
pub struct ProjectTomlError {
    /// The line, where there is one.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: ProjectTomlReason,
}

/// What is wrong with a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProjectTomlReason {
    /// Not TOML, or a value of the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// A schema that nobody knows (G10).
    #[error("unknown project descriptor schema version `{0}`; known are 0.1, 0.2 and 0.3")]
    Schema(String),
    /// Both lists are there, be they empty (G3).
    #[error("cannot have both include and exclude defined")]
    IncludeAndExclude,
    /// A licence that says nothing.
    #[error("a license must have a `type` or a `uri`")]
    EmptyLicense,
    /// A buildpack that cannot be found by anything.
    #[error("a buildpack must have an `id` or a `uri`")]
    NeitherIdNorUri,
    /// Two answers to the question where a buildpack comes from.
    #[error("the buildpack `{name}` cannot have both `{first}` and `{second}`")]
    TwoSources {
        /// The buildpack.
        name: String,
        /// The first answer.
        first: &'static str,
        /// The second.
        second: &'static str,
    },
    /// A script that does not say what it is written for.
    #[error("the script of the buildpack `{0}` must name its `api`")]
    ScriptWithoutApi(String),
    /// A script for which no buildpack can be made.
    #[error("a buildpack with a `script` must have an `id`")]
    ScriptWithoutId,
    /// A name that no variable can have.
    #[error("invalid variable name `{0}`: it must not be empty and must not contain `=`")]
    VariableName(String),
}

impl ProjectDescriptor {
    /// Reads a descriptor; what has no effect comes back as warnings.
    pub fn parse(text: &str) -> Result<(Self, Vec<Warning>), ProjectTomlError> {
        // A byte order mark is legal at the start of a TOML document.
        schema::read(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// Returns the variables that count in `env`; of two with one name the later wins.
    pub fn env_in(&self, env: &ExecEnv) -> Vec<&BuildEnv> {
        let counting = self.env.iter().filter(|e| e.exec_env.contains(env));
        let mut found: Vec<&BuildEnv> = Vec::new();
        for variable in counting {
            found.retain(|e| e.name != variable.name);
            found.push(variable);
        }
        found
    }
}

/// Decides where a buildpack comes from, from what is said about it (G5).
fn source(
    id: Option<ModuleId>,
    version: Option<String>,
    uri: Option<String>,
    script: Option<schema::RawScript>,
) -> Result<BuildpackSource, ProjectTomlReason> {
    let two = |name: String, first, second| ProjectTomlReason::TwoSources { name, first, second };
    match (id, version, uri, script) {
        (id, _, Some(uri), Some(_)) => Err(two(id.map_or(uri, |i| i.to_string()), "uri", "script")),
        (id, Some(_), Some(uri), None) => Err(two(id.map_or(uri, |i| i.to_string()), "uri", "version")),
        (id, None, Some(uri), None) => Ok(BuildpackSource::Uri { id, uri }),
        (None, _, None, Some(_)) => Err(ProjectTomlReason::ScriptWithoutId),
        (None, _, None, None) => Err(ProjectTomlReason::NeitherIdNorUri),
        (Some(id), version, None, None) => Ok(BuildpackSource::Builder { id, version }),
        (Some(id), version, None, Some(script)) => {
            let Some(api) = script.api.filter(|a| !a.is_empty()) else {
                return Err(ProjectTomlReason::ScriptWithoutApi(id.to_string()));
            };
            let shell = script.shell.filter(|s| !s.is_empty()).unwrap_or_else(|| "/bin/sh".to_owned());
            let script = Script { api, shell, inline: script.inline.unwrap_or_default() };
            Ok(BuildpackSource::Inline { id, version: version.unwrap_or_else(|| "0.0.0".to_owned()), script })
        }
    }
}

/// Decides which files enter the build; both lists together are an error even when empty (G3, G4).
fn files(
    include: Option<Vec<String>>,
    exclude: Option<Located<Vec<String>>>,
) -> Result<Files, Located<ProjectTomlReason>> {
    match (include, exclude) {
        (Some(_), Some(exclude)) => {
            Err(Located { value: ProjectTomlReason::IncludeAndExclude, offset: exclude.offset })
        }
        (_, Some(exclude)) if !exclude.value.is_empty() => Ok(Files::Exclude(exclude.value)),
        (Some(include), _) if !include.is_empty() => Ok(Files::Include(include)),
        _ => Ok(Files::Unsaid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "[_]\nschema-version = '0.2'\n";

    fn parse(text: &str) -> (ProjectDescriptor, Vec<Warning>) {
        ProjectDescriptor::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        assert_eq!(ProjectDescriptor::parse(text).unwrap_err().to_string(), expected, "{text}");
    }

    #[track_caller]
    fn check_warning(text: &str, expected: &[&str]) {
        let warnings: Vec<String> = parse(text).1.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, expected, "{text}");
    }

    #[test]
    fn schema_0_2_says_who_and_what_and_how() {
        let (project, warnings) = parse(
            r#"
            [_]
            schema-version = "0.2"
            id = "com.example.app"
            name = "App"
            version = "1.2"
            authors = ["A", "B"]
            documentation-url = "https://docs.example.com"
            source-url = "https://src.example.com"
            [[_.licenses]]
            type = "MIT"
            [_.metadata]
            pi = 3
            [io.buildpacks]
            builder = "example/builder"
            include = ["/src", "!*.md"]
            [[io.buildpacks.group]]
            id = "a/b"
            version = "1.0.0"
            [[io.buildpacks.group]]
            uri = "./local"
            [[io.buildpacks.group]]
            id = "c/inline"
            [io.buildpacks.group.script]
            api = "0.12"
            inline = "echo hi"
            [[io.buildpacks.pre.group]]
            id = "first"
            [[io.buildpacks.post.group]]
            id = "last"
            [[io.buildpacks.build.env]]
            name = "K"
            value = "V"
            [com.example]
            anything = true
            "#,
        );
        assert_eq!(warnings, []);
        assert_eq!(project.schema, Schema::V0_2);
        assert_eq!(project.version.as_deref(), Some("1.2"));
        assert_eq!(project.source_url.as_deref(), Some("https://src.example.com"));
        assert_eq!(project.authors, ["A", "B"]);
        assert_eq!(project.licenses[0].license_type.as_deref(), Some("MIT"));
        assert_eq!(project.metadata["pi"].as_integer(), Some(3));
        assert_eq!(project.builder.as_deref(), Some("example/builder"));
        assert_eq!(project.files, Files::Include(vec!["/src".into(), "!*.md".into()]));
        assert_eq!(project.env[0].value, "V");
        let script = Script { api: "0.12".into(), shell: "/bin/sh".into(), inline: "echo hi".into() };
        let id = |text: &str| text.parse::<ModuleId>().unwrap();
        let sources: Vec<_> = project.group.iter().map(|b| b.source.clone()).collect();
        assert_eq!(
            sources,
            [
                BuildpackSource::Builder { id: id("a/b"), version: Some("1.0.0".into()) },
                BuildpackSource::Uri { id: None, uri: "./local".into() },
                BuildpackSource::Inline { id: id("c/inline"), version: "0.0.0".into(), script },
            ]
        );
        assert_eq!(project.pre[0].source, BuildpackSource::Builder { id: id("first"), version: None });
        assert_eq!(project.post[0].source, BuildpackSource::Builder { id: id("last"), version: None });
    }

    #[test]
    fn without_a_schema_version_it_is_schema_0_1_with_a_warning() {
        let (project, warnings) = parse(
            "[project]\nid = 'x'\nversion = '3'\nsource-url = 'u'\n[[project.licenses]]\nuri = 'l'\n\
             [build]\nexclude = ['*.log']\n[[build.buildpacks]]\nid = 'a'\nversion = '1'\n\
             [[build.env]]\nname = 'N'\nvalue = ''\n[metadata]\nk = 'v'",
        );
        assert_eq!(warnings, [Warning::NoSchemaVersion]);
        assert_eq!(project.schema, Schema::V0_1);
        assert_eq!(project.version.as_deref(), Some("3"));
        assert_eq!(project.files, Files::Exclude(vec!["*.log".into()]));
        assert_eq!(project.group.len(), 1);
        assert_eq!(project.env[0].name, "N");
        assert_eq!(project.metadata["k"].as_str(), Some("v"));
    }

    #[test]
    fn an_empty_file_is_a_descriptor() {
        assert_eq!(parse("").0, ProjectDescriptor::default());
        assert_eq!(parse("\u{feff}[_]\nschema-version = '0.1'").1, []);
    }

    #[test]
    fn an_unknown_schema_is_an_error() {
        check_error(
            "\n[_]\nschema-version = '0.9'",
            "project.toml: line 3: unknown project descriptor schema version `0.9`; known are 0.1, 0.2 and 0.3",
        );
    }

    #[test]
    fn include_and_exclude_together_are_an_error_even_when_empty() {
        check_error(
            &format!("{NEW}[io.buildpacks]\ninclude = []\nexclude = []"),
            "project.toml: line 5: cannot have both include and exclude defined",
        );
        assert_eq!(parse(&format!("{NEW}[io.buildpacks]\nexclude = []")).0.files, Files::Unsaid);
    }

    #[test]
    fn a_buildpack_comes_from_one_place() {
        let group = |text: &str| format!("{NEW}[[io.buildpacks.group]]\n{text}");
        check_error(
            &group("version = '1'"),
            "project.toml: line 3: a buildpack must have an `id` or a `uri`",
        );
        check_error(
            &group("id = 'a'\nuri = 'u'\nversion = '1'"),
            "project.toml: line 3: the buildpack `a` cannot have both `uri` and `version`",
        );
        check_error(
            &group("uri = 'u'\nscript = { api = '0.12' }"),
            "project.toml: line 3: the buildpack `u` cannot have both `uri` and `script`",
        );
        check_error(
            &group("id = 'a'\nscript = { inline = 'x' }"),
            "project.toml: line 3: the script of the buildpack `a` must name its `api`",
        );
        check_error(
            &group("script = { api = '0.12' }"),
            "project.toml: line 3: a buildpack with a `script` must have an `id`",
        );
    }

    #[test]
    fn wrong_types_and_broken_toml_name_the_line() {
        check_error(
            &format!("{NEW}name = 3"),
            "project.toml: line 3: invalid type: integer `3`, expected a string",
        );
        let error = ProjectDescriptor::parse("[_]\nx = = 1").unwrap_err();
        assert_eq!(error.line, Some(2));
        check_error(
            &format!("{NEW}[[io.buildpacks.build.env]]\nname = 'A=B'\nvalue = ''"),
            "project.toml: line 3: invalid variable name `A=B`: it must not be empty and must not contain `=`",
        );
        check_error(
            &format!("{NEW}[[_.licenses]]"),
            "project.toml: line 3: a license must have a `type` or a `uri`",
        );
    }

    #[test]
    fn unknown_keys_warn_and_reverse_domain_tables_do_not() {
        check_warning(
            &format!(
                "{NEW}nmae = 'x'\n[io.buildpacks]\nbulider = 'x'\n[[io.buildpacks.group]]\nid = 'a'\n\
                 verison = '1'\n[org.example]\nfree = 1\n[io.example]\nfree = 1"
            ),
            &["project.toml: keys that have no effect: `_.nmae`, `io.buildpacks.bulider`, \
               `io.buildpacks.group.verison`"],
        );
    }

    #[test]
    fn the_historical_env_key_counts_in_0_2_and_not_in_0_3() {
        let old = "[[io.buildpacks.env.build]]\nname = 'A'\nvalue = '1'";
        assert_eq!(parse(&format!("{NEW}{old}")).0.env.len(), 1);
        let both = format!("{NEW}{old}\n[[io.buildpacks.build.env]]\nname = 'B'\nvalue = '2'");
        assert_eq!(parse(&both).0.env[0].name, "B");
        let newest = format!("[_]\nschema-version = '0.3'\n{old}");
        assert_eq!(parse(&newest).0.env, []);
        check_warning(&newest, &["project.toml: keys that have no effect: `io.buildpacks.env`"]);
    }

    #[test]
    fn exec_env_is_honoured_in_0_3_and_unknown_in_0_2() {
        let body = "[[io.buildpacks.build.env]]\nname = 'A'\nvalue = '1'\n\
                    [[io.buildpacks.build.env]]\nname = 'A'\nvalue = '2'\nexec-env = ['test']";
        let (project, _) = parse(&format!("[_]\nschema-version = '0.3'\n{body}"));
        let value = |env: &str| project.env_in(&env.parse().unwrap())[0].value.clone();
        assert_eq!((value("test"), value("production")), ("2".into(), "1".into()));
        check_warning(
            &format!("{NEW}{body}"),
            &["project.toml: keys that have no effect: `io.buildpacks.build.env.exec-env`"],
        );
    }
}
