//! The config of the app image: that of the run image with what the build adds (requirements E22 to E29).

use cnb_fs::GuestPath;
use cnb_spec::api::PlatformApi;
use cnb_spec::fault;
use cnb_spec::oci::{History, ImageConfig};

use crate::launcher;

/// What is added to the config of the run image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Additions<'a> {
    pub(crate) api: PlatformApi,
    pub(crate) layers: &'a GuestPath,
    pub(crate) app: &'a GuestPath,
    pub(crate) created: String,
    /// What the history says of each added layer.
    pub(crate) created_by: Vec<String>,
    /// Labels in the order in which they are set: the last of a key counts.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) process_type: Option<&'a str>,
}

/// Returns the config of the app image; the diffIDs are filled in when the image is put together.
pub(crate) fn app_config(
    run_image: &ImageConfig,
    run_image_layers: usize,
    add: Additions<'_>,
) -> ImageConfig {
    let mut config = run_image.clone();
    config.history = history(run_image, run_image_layers, &add);
    config.created = add.created;
    for (key, value) in add.labels.into_iter().skip(usize::from(fault::is("lifecycle-label-lost"))) {
        config.config.labels.insert(key, value);
    }
    config.set_env("CNB_LAYERS_DIR", &add.layers.to_string());
    config.set_env("CNB_APP_DIR", &add.app.to_string());
    config.set_env("CNB_PLATFORM_API", &add.api.to_string());
    config.set_env("CNB_DEPRECATION_MODE", "quiet");
    let path = format!("/cnb/process:/cnb/lifecycle:{}", config.env("PATH").unwrap_or_default());
    if !fault::is("image-path-lost") {
        config.set_env("PATH", &path);
    }
    config.config.working_dir = add.app.to_string();
    config.config.entrypoint =
        vec![add.process_type.map_or_else(|| launcher::LAUNCHER.to_owned(), launcher::path)];
    if !fault::is("cmd-kept") {
        config.config.cmd = Vec::new();
    }
    config
}

/// Returns one entry for each layer (E24).
fn history(run_image: &ImageConfig, layers: usize, add: &Additions<'_>) -> Vec<History> {
    let blank = || History { created: add.created.clone(), ..History::default() };
    if !add.api.keeps_history() && !fault::is("history-kept") {
        return std::iter::repeat_with(blank).take(layers + add.created_by.len()).collect();
    }
    let base: Vec<&History> = run_image.history.iter().filter(|h| !h.empty_layer).collect();
    let mut history: Vec<History> = if base.len() == layers {
        base.into_iter().map(|h| History { created: add.created.clone(), ..h.clone() }).collect()
    } else {
        std::iter::repeat_with(blank).take(layers).collect()
    };
    history.extend(add.created_by.iter().map(|by| History { created_by: by.clone(), ..blank() }));
    history
}
