//! What `project.toml` asks of a build, together with what the caller asks.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use cnb_fs::{FsError, HostPath, toml_file};
use cnb_spec::exec_env::ExecEnv;
use cnb_spec::gotoml::Table;
use cnb_spec::platform::project_metadata_toml::{ProjectMetadata, ProjectSource};
use cnb_spec::project::project_toml::{BuildpackSource, ProjectBuildpack, ProjectDescriptor};

use crate::{BuildRequest, Failure, FailureKind};

/// The most bytes of a descriptor: 1 MiB.
const LIMIT: u64 = 1 << 20;

/// A descriptor and where it lies.
#[derive(Debug, Default)]
pub(crate) struct Project {
    pub descriptor: ProjectDescriptor,
    /// What relative paths in it start from.
    pub dir: PathBuf,
    /// What in it has no effect.
    pub warnings: Vec<String>,
}

/// Reads the descriptor that a request names, or the one in the app's folder if there is one.
pub(crate) fn read(request: &BuildRequest) -> Result<Project, Failure> {
    let path = request.descriptor.clone().unwrap_or_else(|| request.app.join("project.toml"));
    let failed =
        || Failure::new(FailureKind::Request, format!("failed to use the project descriptor `{path}`"));
    let bytes = match toml_file::read_host_bytes(path.as_path(), LIMIT) {
        Ok(bytes) => bytes,
        Err(e) if e.is_not_found() && request.descriptor.is_none() => return Ok(Project::default()),
        Err(e) => return Err(failed().because(e)),
    };
    let text = String::from_utf8(bytes).map_err(|e| failed().because(e))?;
    let (descriptor, warnings) = ProjectDescriptor::parse(&text).map_err(|e| failed().because(e))?;
    let dir = path.as_path().parent().map(PathBuf::from).unwrap_or_default();
    let mut warnings: Vec<String> = warnings.iter().map(|w| format!("{path}: {w}")).collect();
    if let Some(builder) = descriptor.builder.as_deref().filter(|b| *b != "host") {
        warnings.push(format!(
            "{path}: the builder `{builder}` is not used: this version builds with the host's tools"
        ));
    }
    Ok(Project { descriptor, dir, warnings })
}

impl Project {
    /// Returns the variables for the buildpacks: those of `settings`, then the descriptor's, then the caller's.
    pub(crate) fn env(
        &self,
        settings: &BTreeMap<String, String>,
        request: &BuildRequest,
    ) -> BTreeMap<String, OsString> {
        let mut env: BTreeMap<String, OsString> =
            settings.iter().map(|(k, v)| (k.clone(), v.into())).collect();
        for variable in self.descriptor.env_in(&request.exec_env) {
            env.insert(variable.name.clone(), variable.value.clone().into());
        }
        env.extend(request.env.iter().map(|(k, v)| (k.clone(), v.clone())));
        env
    }

    /// Returns the label's content about the source (requirement J44).
    pub(crate) fn metadata(&self) -> ProjectMetadata {
        let text = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());
        let table = |key: &str, value: Option<String>| {
            value.map(|v| toml::Table::from_iter([(key.to_owned(), toml::Value::String(v))]))
        };
        let version = table("declared", text(&self.descriptor.version));
        let metadata = table("url", text(&self.descriptor.source_url));
        let known = version.is_some() || metadata.is_some();
        ProjectMetadata {
            source: known.then(|| ProjectSource { source_type: "project".to_owned(), version, metadata }),
        }
    }

    /// Returns the buildpacks of `list` as they would be typed; inline ones are written below `scratch`.
    pub(crate) fn named(
        &self,
        list: &[ProjectBuildpack],
        env: &ExecEnv,
        scratch: &HostPath,
    ) -> Result<Vec<String>, Failure> {
        let mut named = Vec::new();
        for (number, buildpack) in list.iter().filter(|b| b.exec_env.contains(env)).enumerate() {
            named.push(match &buildpack.source {
                BuildpackSource::Builder { id, version: Some(version) } => format!("{id}@{version}"),
                BuildpackSource::Builder { id, version: None } => id.to_string(),
                BuildpackSource::Uri { uri, .. } if uri.contains("://") || uri.starts_with('/') => {
                    uri.clone()
                }
                BuildpackSource::Uri { uri, .. } => self.dir.join(uri).display().to_string(),
                BuildpackSource::Inline { id, version, script } => {
                    let dir = scratch.join(format!("inline-{number}"));
                    let head = Table::new().with("api", script.api.as_str()).with(
                        "buildpack",
                        Table::new().with("id", id.as_str()).with("version", version.as_str()),
                    );
                    let shell = &script.shell;
                    let files = [
                        ("buildpack.toml", head.write(), 0o644),
                        ("bin/detect", format!("#!{shell}\nexit 0\n"), 0o755),
                        ("bin/build", format!("#!{shell}\n\n{}\n", script.inline), 0o755),
                    ];
                    write(&dir, &files).map_err(|e| {
                        Failure::new(
                            FailureKind::Other,
                            format!("failed to write the inline buildpack `{id}`"),
                        )
                        .because(e)
                    })?;
                    dir.to_string()
                }
            });
        }
        Ok(named)
    }
}

fn write(dir: &HostPath, files: &[(&str, String, u32)]) -> Result<(), FsError> {
    for (name, text, mode) in files {
        let path = dir.join(name);
        let make = || {
            std::fs::create_dir_all(path.as_path().parent().unwrap_or(dir.as_path()))?;
            fs_err::write(path.as_path(), text)?;
            std::fs::set_permissions(path.as_path(), std::fs::Permissions::from_mode(*mode))
        };
        make().map_err(FsError::on("write", path.as_path()))?;
    }
    crate::workdir::let_read(dir.as_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(text: &str) -> Project {
        let (descriptor, _) = ProjectDescriptor::parse(text).unwrap();
        Project { descriptor, dir: "/project".into(), warnings: Vec::new() }
    }

    fn request() -> BuildRequest {
        BuildRequest::new(HostPath::absolute("/app"), "app".parse().unwrap())
    }

    #[test]
    fn the_callers_variables_win_over_the_descriptors_and_those_over_the_hosts() {
        let project = project(
            "[_]\nschema-version = '0.2'\n[[io.buildpacks.build.env]]\nname = 'A'\nvalue = 'file'\n[[io.buildpacks.build.env]]\nname = 'B'\nvalue = 'file'",
        );
        let mut request = request();
        request.env.insert("A".into(), "caller".into());
        let host = ["A", "B", "C"].map(|k| (k.to_owned(), "host".to_owned()));
        let env = project.env(&host.into(), &request);
        let expected =
            [("A", "caller"), ("B", "file"), ("C", "host")].map(|(k, v)| (k.to_owned(), OsString::from(v)));
        assert_eq!(env, expected.into());
    }

    #[test]
    fn paths_start_at_the_descriptor_and_inline_scripts_become_buildpacks() {
        let scratch = tempfile::tempdir().unwrap();
        let scratch = HostPath::absolute(scratch.path());
        let project = project(
            "[_]\nschema-version = '0.2'\n[[io.buildpacks.group]]\nuri = 'bp'\n[[io.buildpacks.group]]\nid = 'a/b'\nversion = '1'\n[[io.buildpacks.group]]\nid = 'x/y'\n[io.buildpacks.group.script]\napi = '0.12'\ninline = 'true'",
        );
        let named = project.named(&project.descriptor.group, &ExecEnv::default(), &scratch).unwrap();
        assert_eq!(named[..2], ["/project/bp", "a/b@1"]);
        assert_eq!(fs_err::read_to_string(format!("{}/bin/build", named[2])).unwrap(), "#!/bin/sh\n\ntrue\n");
    }

    #[test]
    fn version_and_source_go_into_the_label() {
        let project = project("[_]\nschema-version = '0.2'\nversion = '1.2'\nsource-url = 'u'");
        assert_eq!(
            project.metadata().to_label(),
            r#"{"source":{"type":"project","version":{"declared":"1.2"},"metadata":{"url":"u"}}}"#
        );
    }
}
