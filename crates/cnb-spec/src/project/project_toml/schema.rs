//! The three written forms of `project.toml`, read into the one type.

use serde::Deserialize;
use toml::Spanned;

use super::{
    BuildEnv, License, ProjectBuildpack, ProjectDescriptor, ProjectTomlError, ProjectTomlReason, Schema,
    Warning, files, source,
};
use crate::exec_env::ExecEnvs;
use crate::id::ModuleId;
use crate::value::Metadata;

/// A value and where in the text it starts.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) offset: usize,
}

impl<T> From<Spanned<T>> for Located<T> {
    fn from(spanned: Spanned<T>) -> Self {
        let offset = spanned.span().start;
        Self { value: spanned.into_inner(), offset }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    #[serde(rename = "_")]
    project: VersionKey,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct VersionKey {
    schema_version: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Old {
    project: Project,
    build: OldBuild,
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OldBuild {
    builder: Option<String>,
    include: Option<Vec<String>>,
    exclude: Option<Spanned<Vec<String>>>,
    buildpacks: Vec<Spanned<Buildpack>>,
    env: Vec<Spanned<Variable>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct New {
    #[serde(rename = "_")]
    project: Project,
    io: Io,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Io {
    buildpacks: Buildpacks,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Buildpacks {
    builder: Option<String>,
    include: Option<Vec<String>>,
    exclude: Option<Spanned<Vec<String>>>,
    group: Vec<Spanned<Buildpack>>,
    pre: Group,
    post: Group,
    build: NewBuild,
    env: HistoricalEnv,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Group {
    group: Vec<Spanned<Buildpack>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NewBuild {
    env: Option<Vec<Spanned<Variable>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct HistoricalEnv {
    build: Vec<Spanned<Variable>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Project {
    id: Option<String>,
    name: Option<String>,
    version: Option<String>,
    authors: Vec<String>,
    documentation_url: Option<String>,
    source_url: Option<String>,
    licenses: Vec<Spanned<RawLicense>>,
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawLicense {
    #[serde(rename = "type")]
    license_type: Option<String>,
    uri: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Buildpack {
    id: Option<ModuleId>,
    version: Option<String>,
    uri: Option<String>,
    script: Option<RawScript>,
    exec_env: ExecEnvs,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawScript {
    pub(super) api: Option<String>,
    pub(super) shell: Option<String>,
    pub(super) inline: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Variable {
    name: String,
    value: String,
    #[serde(default)]
    exec_env: ExecEnvs,
}

/// Reads a descriptor of any schema.
pub(super) fn read(text: &str) -> Result<(ProjectDescriptor, Vec<Warning>), ProjectTomlError> {
    let document = Document { text };
    // The version comes first, so that a newer file fails with its version and not with a type error.
    let version = document.parse::<Version>()?.project.schema_version;
    let mut warnings = Vec::new();
    let schema = match version.as_ref().map(|v| v.get_ref().as_str()) {
        None => {
            if !text.trim().is_empty() {
                warnings.push(Warning::NoSchemaVersion);
            }
            Schema::V0_1
        }
        Some("0.1") => Schema::V0_1,
        Some("0.2") => Schema::V0_2,
        Some("0.3") => Schema::V0_3,
        Some(other) => {
            let reason = ProjectTomlReason::Schema(other.to_owned());
            return Err(document.error(reason, version.as_ref().map_or(0, |v| v.span().start)));
        }
    };
    let descriptor = if schema == Schema::V0_1 { document.old()? } else { document.new_form(schema)? };
    let unknown = unknown_keys(&document.parse::<Metadata>()?, schema);
    if !unknown.is_empty() {
        warnings.push(Warning::UnknownKeys(unknown));
    }
    Ok((descriptor, warnings))
}

struct Document<'t> {
    text: &'t str,
}

impl Document<'_> {
    fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, ProjectTomlError> {
        toml::from_str(self.text).map_err(|e| {
            let reason = ProjectTomlReason::Syntax(e.message().trim_end().to_owned());
            match e.span() {
                Some(span) => self.error(reason, span.start),
                None => ProjectTomlError { line: None, reason },
            }
        })
    }

    fn error(&self, reason: ProjectTomlReason, offset: usize) -> ProjectTomlError {
        let before = self.text.get(..offset).unwrap_or(self.text);
        ProjectTomlError { line: Some(before.matches('\n').count() + 1), reason }
    }

    fn old(&self) -> Result<ProjectDescriptor, ProjectTomlError> {
        let Old { project, build, metadata } = self.parse()?;
        let mut descriptor = self.project(project)?;
        descriptor.schema = Schema::V0_1;
        descriptor.metadata = metadata;
        descriptor.builder = build.builder;
        descriptor.files = files(build.include, build.exclude.map(Located::from))
            .map_err(|l| self.error(l.value, l.offset))?;
        descriptor.group = self.buildpacks(build.buildpacks, Schema::V0_1)?;
        descriptor.env = self.env(build.env, Schema::V0_1)?;
        Ok(descriptor)
    }

    fn new_form(&self, schema: Schema) -> Result<ProjectDescriptor, ProjectTomlError> {
        let New { project, io: Io { buildpacks } } = self.parse()?;
        let mut descriptor = self.project(project)?;
        descriptor.schema = schema;
        descriptor.builder = buildpacks.builder;
        descriptor.files = files(buildpacks.include, buildpacks.exclude.map(Located::from))
            .map_err(|l| self.error(l.value, l.offset))?;
        descriptor.group = self.buildpacks(buildpacks.group, schema)?;
        descriptor.pre = self.buildpacks(buildpacks.pre.group, schema)?;
        descriptor.post = self.buildpacks(buildpacks.post.group, schema)?;
        let historical = if schema == Schema::V0_2 { buildpacks.env.build } else { Vec::new() };
        descriptor.env = self.env(buildpacks.build.env.unwrap_or(historical), schema)?;
        Ok(descriptor)
    }

    fn project(&self, project: Project) -> Result<ProjectDescriptor, ProjectTomlError> {
        let licenses = project.licenses.into_iter().map(|spanned| {
            let Located { value, offset } = Located::from(spanned);
            if value.license_type.is_none() && value.uri.is_none() {
                return Err(self.error(ProjectTomlReason::EmptyLicense, offset));
            }
            Ok(License { license_type: value.license_type, uri: value.uri })
        });
        Ok(ProjectDescriptor {
            id: project.id,
            name: project.name,
            version: project.version,
            authors: project.authors,
            documentation_url: project.documentation_url,
            source_url: project.source_url,
            licenses: licenses.collect::<Result<_, _>>()?,
            metadata: project.metadata,
            ..ProjectDescriptor::default()
        })
    }

    fn buildpacks(
        &self,
        raw: Vec<Spanned<Buildpack>>,
        schema: Schema,
    ) -> Result<Vec<ProjectBuildpack>, ProjectTomlError> {
        let one = |spanned| {
            let Located { value, offset } = Located::from(spanned);
            let Buildpack { id, version, uri, script, exec_env } = value;
            // What is left empty is not there: `version = ""` is common in generated files.
            let filled = |text: Option<String>| text.filter(|t| !t.is_empty());
            let source = source(id, filled(version), filled(uri), script);
            Ok(ProjectBuildpack {
                source: source.map_err(|reason| self.error(reason, offset))?,
                exec_env: honoured(exec_env, schema),
            })
        };
        raw.into_iter().map(one).collect()
    }

    fn env(&self, raw: Vec<Spanned<Variable>>, schema: Schema) -> Result<Vec<BuildEnv>, ProjectTomlError> {
        let one = |spanned| {
            let Located { value: Variable { name, value, exec_env }, offset } = Located::from(spanned);
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(self.error(ProjectTomlReason::VariableName(name), offset));
            }
            Ok(BuildEnv { name, value, exec_env: honoured(exec_env, schema) })
        };
        raw.into_iter().map(one).collect()
    }
}

fn honoured(exec_env: ExecEnvs, schema: Schema) -> ExecEnvs {
    if schema == Schema::V0_3 { exec_env } else { ExecEnvs::default() }
}

/// The keys of a table; `None` where anything may follow.
struct Known(&'static [(&'static str, Option<&'static Known>)]);

const LICENSE: Known = Known(&[("type", None), ("uri", None)]);
const SCRIPT: Known = Known(&[("api", None), ("shell", None), ("inline", None)]);
const BUILDPACK: Known = Known(&[("id", None), ("version", None), ("uri", None), ("script", Some(&SCRIPT))]);
const BUILDPACK_0_3: Known =
    Known(&[("id", None), ("version", None), ("uri", None), ("script", Some(&SCRIPT)), ("exec-env", None)]);
const ENV: Known = Known(&[("name", None), ("value", None)]);
const ENV_0_3: Known = Known(&[("name", None), ("value", None), ("exec-env", None)]);
const PROJECT: Known = Known(&[
    ("schema-version", None),
    ("id", None),
    ("name", None),
    ("version", None),
    ("authors", None),
    ("documentation-url", None),
    ("source-url", None),
    ("licenses", Some(&LICENSE)),
    ("metadata", None),
]);
const BUILD_0_1: Known = Known(&[
    ("builder", None),
    ("include", None),
    ("exclude", None),
    ("buildpacks", Some(&BUILDPACK)),
    ("env", Some(&ENV)),
]);
const BUILDPACKS: Known = Known(&[
    ("schema-version", None),
    ("builder", None),
    ("include", None),
    ("exclude", None),
    ("group", Some(&BUILDPACK)),
    ("pre", Some(&Known(&[("group", Some(&BUILDPACK))]))),
    ("post", Some(&Known(&[("group", Some(&BUILDPACK))]))),
    ("build", Some(&Known(&[("env", Some(&ENV))]))),
    ("env", Some(&Known(&[("build", Some(&ENV))]))),
]);
const BUILDPACKS_0_3: Known = Known(&[
    ("schema-version", None),
    ("builder", None),
    ("include", None),
    ("exclude", None),
    ("group", Some(&BUILDPACK_0_3)),
    ("pre", Some(&Known(&[("group", Some(&BUILDPACK_0_3))]))),
    ("post", Some(&Known(&[("group", Some(&BUILDPACK_0_3))]))),
    ("build", Some(&Known(&[("env", Some(&ENV_0_3))]))),
]);

/// Returns the unknown keys within the tables that a schema defines; other tables are anybody's (G1, G11).
fn unknown_keys(document: &Metadata, schema: Schema) -> Vec<String> {
    let mut found = Vec::new();
    let mut within = |table: Option<&toml::Value>, path: &str, known: &Known| {
        if let Some(table) = table {
            collect(table, path, known, &mut found);
        }
    };
    if schema == Schema::V0_1 {
        within(document.get("_"), "_", &Known(&[("schema-version", None)]));
        within(document.get("project"), "project", &PROJECT);
        within(document.get("build"), "build", &BUILD_0_1);
    } else {
        let known = if schema == Schema::V0_2 { &BUILDPACKS } else { &BUILDPACKS_0_3 };
        within(document.get("_"), "_", &PROJECT);
        within(document.get("io").and_then(|io| io.get("buildpacks")), "io.buildpacks", known);
    }
    found
}

fn collect(value: &toml::Value, path: &str, known: &Known, found: &mut Vec<String>) {
    match value {
        toml::Value::Array(items) => items.iter().for_each(|item| collect(item, path, known, found)),
        toml::Value::Table(table) => {
            for (key, inner) in table {
                let path = format!("{path}.{key}");
                match known.0.iter().find(|(name, _)| name == key) {
                    Some((_, Some(below))) => collect(inner, &path, below, found),
                    Some((_, None)) => {}
                    None if found.contains(&path) => {}
                    None => found.push(path),
                }
            }
        }
        _ => {}
    }
}
