//! An image as an engine tells it (E41): everything that Go's lifecycle keeps of it, and nothing else.

use cnb_image::media::DOCKER_LAYER;
use cnb_image::media::Family;
use cnb_image::{BlobSource, Image, ImageError, ImageLayer, Remote};
use cnb_spec::digest::{DiffId, Digest, ImageId};
use cnb_spec::oci::{Descriptor, History, ImageConfig, Platform, RuntimeConfig, time};
use serde::{Deserialize, Deserializer};

/// The answer to `GET /images/{name}/json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Inspect {
    #[serde(deserialize_with = "image_id")]
    pub(crate) id: ImageId,
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    os: Option<String>,
    #[serde(default)]
    os_version: Option<String>,
    #[serde(default)]
    config: Option<RuntimeConfig>,
    #[serde(rename = "RootFS")]
    pub(crate) root_fs: Layers,
}

/// The layers of an image, lowest first.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Layers {
    #[serde(default, deserialize_with = "or_null")]
    pub(crate) layers: Vec<DiffId>,
}

/// An element of the answer to `GET /images/{name}/history`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HistoryItem {
    created: i64,
    #[serde(default)]
    created_by: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

impl Inspect {
    /// Returns what the image runs on.
    pub(crate) fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone().unwrap_or_default(),
            os: self.os.clone().unwrap_or_default(),
            os_version: self.os_version.clone().unwrap_or_default(),
            variant: self.variant.clone().unwrap_or_default(),
            ..Platform::default()
        }
    }
}

/// Puts an image together; its layers are read from `origin`.
pub(crate) fn image(
    inspect: Inspect,
    history: Vec<HistoryItem>,
    origin: &Remote,
) -> Result<Image, ImageError> {
    let diff_ids = inspect.root_fs.layers;
    let config = ImageConfig {
        architecture: inspect.architecture.unwrap_or_default(),
        author: inspect.author.unwrap_or_default(),
        created: created(inspect.created),
        history: normalized(history, diff_ids.len()),
        os: inspect.os.unwrap_or_default(),
        config: inspect.config.map(kept).unwrap_or_default(),
        os_version: inspect.os_version.unwrap_or_default(),
        variant: inspect.variant.unwrap_or_default(),
        ..ImageConfig::default()
    };
    let layer = |diff_id: DiffId| ImageLayer {
        descriptor: Descriptor::new(DOCKER_LAYER, 0, Digest::from_bytes(*diff_id.as_bytes())),
        diff_id,
        blob: BlobSource::Remote(origin.clone()),
    };
    Image::assemble(Family::Docker, config, diff_ids.into_iter().map(layer).collect())
}

/// Returns the time that an engine tells, or the one of images that have none.
fn created(text: Option<String>) -> String {
    text.filter(|text| text.contains('T')).or_else(|| time::rfc3339(time::NORMAL_TIME)).unwrap_or_default()
}

/// Returns the history, oldest first, if it has one step for each layer; otherwise as many steps that say nothing.
///
/// An engine does not tell which steps made no layer.
fn normalized(history: Vec<HistoryItem>, layers: usize) -> Vec<History> {
    if history.len() != layers {
        return vec![History::default(); layers];
    }
    let entry = |item: HistoryItem| History {
        created: time::rfc3339(item.created).unwrap_or_else(|| History::default().created),
        created_by: item.created_by.unwrap_or_default(),
        comment: item.comment.unwrap_or_default(),
        ..History::default()
    };
    history.into_iter().rev().map(entry).collect()
}

fn kept(config: RuntimeConfig) -> RuntimeConfig {
    RuntimeConfig {
        cmd: config.cmd,
        healthcheck: config.healthcheck,
        entrypoint: config.entrypoint,
        env: config.env,
        labels: config.labels,
        on_build: config.on_build,
        user: config.user,
        volumes: config.volumes,
        working_dir: config.working_dir,
        exposed_ports: config.exposed_ports,
        stop_signal: config.stop_signal,
        shell: config.shell,
        ..RuntimeConfig::default()
    }
}

/// Reads an ID with or without `sha256:`: Podman leaves it out in places.
fn image_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ImageId, D::Error> {
    let text = String::deserialize(deserializer)?;
    let text = if text.contains(':') { text } else { format!("sha256:{text}") };
    text.parse().map_err(serde::de::Error::custom)
}

fn or_null<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use cnb_image::Origin;
    use cnb_spec::gojson;

    use super::*;

    #[derive(Debug)]
    struct Nowhere;

    impl Origin for Nowhere {
        fn place(&self) -> String {
            "nowhere".to_owned()
        }

        fn repository(&self) -> Option<(&str, &str)> {
            None
        }

        fn open(&self, _: &Descriptor) -> Result<Box<dyn Read + Send>, ImageError> {
            Ok(Box::new(std::io::empty()))
        }
    }

    #[track_caller]
    fn describe(inspect: &str, history: &str) -> Image {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let inspect = inspect
            .replace("LAYERS", &format!(r#"{{"Type":"layers","Layers":["sha256:{a}","sha256:{b}"]}}"#));
        let inspect =
            serde_json::from_str(&inspect.replace("ID", &format!("sha256:{}", "0".repeat(64)))).unwrap();
        image(inspect, serde_json::from_str(history).unwrap(), &Remote(Arc::new(Nowhere))).unwrap()
    }

    const TWO_STEPS: &str = r#"[
        {"Id":"x","Created":1700000000,"CreatedBy":"CMD","Comment":"second","Tags":["app:v1"],"Size":0},
        {"Id":"<missing>","Created":315532801,"CreatedBy":"ADD","Comment":"","Tags":null,"Size":1}
    ]"#;

    #[test]
    fn what_go_loses_is_lost_and_all_else_is_kept() {
        let text = r#"{"Id":"ID","RepoTags":["app:v1"],"Parent":"","Comment":"c","Created":"2023-11-14T22:13:20.5Z",
            "Container":"1","ContainerConfig":{"Hostname":"h"},"DockerVersion":"20.10","Author":"me",
            "Config":{"Hostname":"h","Domainname":"d","User":"1000","AttachStdin":true,"Tty":true,"OpenStdin":true,
                "ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Cmd":null,"ArgsEscaped":true,"Image":"sha256:1",
                "Healthcheck":{"Test":["CMD","x"],"Interval":5,"StartInterval":7},"Volumes":null,"WorkingDir":"/w",
                "Entrypoint":["/bin/x"],"OnBuild":["RUN y"],"Labels":{"a":"<"},"StopSignal":"SIGINT","Shell":["sh"],
                "NetworkDisabled":true,"MacAddress":"m"},
            "Architecture":"arm64","Variant":"v8","Os":"linux","OsVersion":"1.2","OsFeatures":["f"],"RootFS":LAYERS}"#;
        let image = describe(text, TWO_STEPS);
        let found = gojson::to_string(image.config()).unwrap();
        let expected = concat!(
            r#"{"architecture":"arm64","author":"me","created":"2023-11-14T22:13:20.5Z","history":["#,
            r#"{"created":"1980-01-01T00:00:01Z","created_by":"ADD"},"#,
            r#"{"created":"2023-11-14T22:13:20Z","created_by":"CMD","comment":"second"}],"os":"linux","#,
            r#""rootfs":{"type":"layers","diff_ids":["A","B"]},"config":{"#,
            r#""Healthcheck":{"Test":["CMD","x"],"Interval":5},"Entrypoint":["/bin/x"],"Env":["A=b"],"#,
            r#""Labels":{"a":"\u003c"},"OnBuild":["RUN y"],"User":"1000","WorkingDir":"/w","#,
            r#""ExposedPorts":{"80/tcp":{}},"StopSignal":"SIGINT","Shell":["sh"]},"os.version":"1.2","variant":"v8"}"#,
        );
        let expected = expected.replace("\"A\"", &format!("\"sha256:{}\"", "a".repeat(64)));
        assert_eq!(found, expected.replace("\"B\"", &format!("\"sha256:{}\"", "b".repeat(64))));
    }

    #[test]
    fn a_bare_answer_is_an_image_too() {
        let image = describe(r#"{"Id":"ID","Created":"","Config":null,"RootFS":LAYERS}"#, "[]");
        assert_eq!(image.config().created, "1980-01-01T00:00:01Z");
        assert_eq!(image.config().history, vec![History::default(); 2]);
        let layer = &image.layers()[0];
        assert_eq!((layer.descriptor.size, layer.descriptor.media_type.as_str()), (0, DOCKER_LAYER));
        assert_eq!(layer.descriptor.digest.as_bytes(), layer.diff_id.as_bytes());
    }

    /// The ID was recorded: imgutil read the image from dockerd 20.10 and saved it again, with its history.
    #[test]
    fn an_image_that_is_saved_again_has_the_id_that_go_gives_it() {
        let layers = [
            "ca553150ff688376ad7ba31c0131c9720b628d558bcef9681a4c2690f6aa651c",
            "860dd83480399bf6bf96ecdb39be424f205e5c45f40b4dc2ae675be3909c5c57",
        ];
        let text = r#"{"Id":"ID","Created":"2023-11-14T22:13:20.123456789Z","DockerVersion":"20.1","Author":"me <x&y>",
            "Config":{"Hostname":"h","Domainname":"d","User":"1000:1000","AttachStdin":true,"AttachStdout":false,
                "ExposedPorts":{"443/tcp":{},"80/tcp":{}},"Tty":true,"OpenStdin":true,"StdinOnce":true,
                "Env":["PATH=/bin","A=<b&c>"],"Cmd":["a","b"],
                "Healthcheck":{"Test":["CMD","x"],"Interval":5000000000,"Timeout":3000000000,
                    "StartPeriod":1000000000,"Retries":3},
                "ArgsEscaped":true,"Image":"sha256:x","Volumes":{"/v":{},"/a":{}},"WorkingDir":"/w",
                "Entrypoint":["/bin/x"],"NetworkDisabled":true,"MacAddress":"02:42:ac:11:00:02","OnBuild":["RUN y"],
                "Labels":{"z":"<&>","a":"\u2028\u00e9"},"StopSignal":"SIGINT","StopTimeout":9,"Shell":["/bin/sh","-c"]},
            "Architecture":"arm","Variant":"v7","Os":"linux","OsVersion":"1.2","RootFS":{"Type":"layers","Layers":[]}}"#;
        let mut inspect: Inspect =
            serde_json::from_str(&text.replace("ID", &format!("sha256:{}", "0".repeat(64)))).unwrap();
        inspect.root_fs.layers = layers.map(|hex| format!("sha256:{hex}").parse().unwrap()).to_vec();
        let history = r#"[{"Created":1577934245,"CreatedBy":"two","Comment":"c <&>"},{"Created":1577934245,"CreatedBy":"one","Comment":"c <&>"}]"#;
        let image =
            image(inspect, serde_json::from_str(history).unwrap(), &Remote(Arc::new(Nowhere))).unwrap();
        let mut config = image.config().clone();
        let normal = time::rfc3339(time::NORMAL_TIME).unwrap();
        config.created.clone_from(&normal);
        config.history.iter_mut().for_each(|step| step.created.clone_from(&normal));
        let saved = Image::assemble(Family::Docker, config, image.layers().to_vec()).unwrap();
        assert_eq!(saved.id().hex(), "4e52f90076488bf4b1f2140c36defe6bd725a75f06c7361f7e4edea57d0cae39");
    }
}
