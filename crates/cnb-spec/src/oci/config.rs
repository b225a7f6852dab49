//! The image config: what an image is made of and how it starts.
//!
//! OCI image specification, "OCI Image Configuration"; key order and omissions by requirements E22 to E24.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{is_false, is_zero, or_null, set};
use crate::digest::DiffId;

/// The time that Go writes for "no time".
pub const NO_TIME: &str = "0001-01-01T00:00:00Z";

fn no_time() -> String {
    NO_TIME.to_owned()
}

/// An image's config file.
///
/// `container` is never kept (E22), nor is any key that is not listed here (E23).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// The CPU architecture, such as `amd64`.
    #[serde(default, deserialize_with = "or_null")]
    pub architecture: String,
    /// Who made the image.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// When the image was made, RFC 3339.
    #[serde(default = "no_time")]
    pub created: String,
    /// The Docker version that made the image.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub docker_version: String,
    /// How each layer, and each step without one, came to be.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// The operating system, such as `linux`.
    #[serde(default, deserialize_with = "or_null")]
    pub os: String,
    /// The layers.
    #[serde(default)]
    pub rootfs: RootFs,
    /// How a container of the image starts.
    #[serde(default, deserialize_with = "or_null")]
    pub config: RuntimeConfig,
    /// The version of the operating system.
    #[serde(
        rename = "os.version",
        default,
        deserialize_with = "or_null",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// The variant of the CPU architecture, such as `v8`.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub variant: String,
    /// Features of the operating system that the image needs.
    #[serde(
        rename = "os.features",
        default,
        deserialize_with = "or_null",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
}

/// The layers of an image, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The digests of the uncompressed layers.
    #[serde(default, deserialize_with = "or_null")]
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// One step in the making of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Who made the step.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// When, RFC 3339.
    #[serde(default = "no_time")]
    pub created: String,
    /// What made it.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Free text.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the step made no layer.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

impl Default for History {
    fn default() -> Self {
        Self {
            author: String::new(),
            created: no_time(),
            created_by: String::new(),
            comment: String::new(),
            empty_layer: false,
        }
    }
}

/// How a container of the image starts: the `config` of the config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the format has them")]
pub struct RuntimeConfig {
    /// Whether standard error is attached.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub attach_stderr: bool,
    /// Whether standard input is attached.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub attach_stdin: bool,
    /// Whether standard output is attached.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub attach_stdout: bool,
    /// The default arguments.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// How health is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The domain name.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub domainname: String,
    /// The program that is started.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The environment, `NAME=value` each.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The host name.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// The image that the container was made from.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub image: String,
    /// Labels.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Dockerfile steps for images made from this one.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Whether standard input stays open.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub open_stdin: bool,
    /// Whether standard input closes with the first client.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub stdin_once: bool,
    /// Whether there is a terminal.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub tty: bool,
    /// The user, `uid[:gid]` or names.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Paths of volumes.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// The directory in which the program starts.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Ports, `8080/tcp` each.
    #[serde(with = "set", skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Windows: whether the command is escaped already.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// Whether there is no network.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_false")]
    pub network_disabled: bool,
    /// The MAC address.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub mac_address: String,
    /// The signal that ends the program.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// The shell of shell-form commands.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
}

/// A health check; times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// The command.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// The time between two checks.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// The time that a check may take.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// The time in which failures do not count.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// How many failures in a row make the container unhealthy.
    #[serde(deserialize_with = "or_null", skip_serializing_if = "is_zero")]
    pub retries: i64,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            architecture: String::new(),
            author: String::new(),
            created: no_time(),
            docker_version: String::new(),
            history: Vec::new(),
            os: String::new(),
            rootfs: RootFs::default(),
            config: RuntimeConfig::default(),
            os_version: String::new(),
            variant: String::new(),
            os_features: Vec::new(),
        }
    }
}

impl ImageConfig {
    /// Returns the value of environment variable `name`.
    ///
    /// As in the Go program (E26), a variable whose value contains `=` is not found.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.config.env.iter().find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            (key == name && !value.contains('=')).then_some(value)
        })
    }

    /// Sets environment variable `name`: in its place if it is there, else at the end (E26).
    pub fn set_env(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        let found =
            self.config.env.iter_mut().find(|p| p.split_once('=').is_some_and(|(key, _)| key == name));
        match found {
            Some(place) => *place = pair,
            None => self.config.env.push(pair),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gojson;

    #[test]
    fn a_config_has_the_bytes_that_go_writes() {
        let entry = |by: &str| History {
            created: "1980-01-01T00:00:01Z".to_owned(),
            created_by: by.to_owned(),
            ..History::default()
        };
        let (aa, bb) = (format!("sha256:{}", "a".repeat(64)), format!("sha256:{}", "b".repeat(64)));
        let config = ImageConfig {
            architecture: "amd64".to_owned(),
            created: "1980-01-01T00:00:01Z".to_owned(),
            history: vec![entry("base"), entry("Application Layer")],
            os: "linux".to_owned(),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: vec![aa.parse().unwrap(), bb.parse().unwrap()],
            },
            config: RuntimeConfig {
                entrypoint: vec!["/cnb/process/web".to_owned()],
                env: vec![
                    "PATH=/cnb/process:/cnb/lifecycle:/usr/bin".to_owned(),
                    "CNB_LAYERS_DIR=/layers".to_owned(),
                ],
                labels: [
                    ("b", "x<y>&"),
                    ("io.buildpacks.project.metadata", "{}"),
                    ("z", "{\"a\":\"b\\u0026c\"}"),
                ]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
                user: "1000:1000".to_owned(),
                working_dir: "/workspace".to_owned(),
                ..RuntimeConfig::default()
            },
            ..ImageConfig::default()
        };
        let found = gojson::to_string(&config).unwrap().replace(&aa, "sha256:aa").replace(&bb, "sha256:bb");
        let expected = concat!(
            r#"{"architecture":"amd64","created":"1980-01-01T00:00:01Z","history":[{"created":"1980-01-01T00:00:01Z","#,
            r#""created_by":"base"},{"created":"1980-01-01T00:00:01Z","created_by":"Application Layer"}],"os":"linux","#,
            r#""rootfs":{"type":"layers","diff_ids":["sha256:aa","sha256:bb"]},"config":{"Entrypoint":["/cnb/process/web"],"#,
            r#""Env":["PATH=/cnb/process:/cnb/lifecycle:/usr/bin","CNB_LAYERS_DIR=/layers"],"Labels":{"b":"x\u003cy\u003e\u0026","#,
            r#""io.buildpacks.project.metadata":"{}","z":"{\"a\":\"b\\u0026c\"}"},"User":"1000:1000","WorkingDir":"/workspace"}}"#,
        );
        assert_eq!(found, expected);
        assert_eq!(found.len(), 540);
    }

    #[test]
    fn null_counts_as_absent_and_unknown_keys_are_dropped() {
        let text = r#"{"os":"linux","container":"c","container_config":{"A":1},"history":null,"config":{"Cmd":null,"Env":["A=b"],
            "Labels":null,"Volumes":{"/v":{}},"Healthcheck":{"Test":["NONE"],"StartInterval":5},"Vendor":1}}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        let found = gojson::to_string(&config).unwrap();
        let expected = concat!(
            r#"{"architecture":"","created":"0001-01-01T00:00:00Z","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"#,
            r#""config":{"Healthcheck":{"Test":["NONE"]},"Env":["A=b"],"Volumes":{"/v":{}}}}"#,
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn variables_are_replaced_in_place_or_added_at_the_end() {
        let mut config = ImageConfig::default();
        config.config.env = vec!["A=1".to_owned(), "PATH=/bin".to_owned(), "ODD=a=b".to_owned()];
        assert_eq!((config.env("PATH"), config.env("ODD"), config.env("B")), (Some("/bin"), None, None));
        config.set_env("A", "2");
        config.set_env("B", "");
        assert_eq!(config.config.env, ["A=2", "PATH=/bin", "ODD=a=b", "B="]);
    }
}
