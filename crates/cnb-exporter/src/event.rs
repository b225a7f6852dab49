//! What happens during an export, for whoever prints it (requirements H, section "export", H17, H18).

use cnb_spec::digest::DiffId;

/// Something that happened, in the order of requirement H18.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An SBOM of the lifecycle or the launcher is not there (H17).
    SbomMissing {
        /// The name of the file.
        file: String,
        /// The folder.
        dir: String,
    },
    /// A file named just `.toml` is no layer's and was left alone (J29).
    NamelessLayer {
        /// The file.
        path: String,
    },
    /// A layer is new.
    LayerAdded {
        /// The layer's identifier, such as `example/node:deps`.
        id: String,
        /// Its diffID.
        diff_id: DiffId,
    },
    /// A layer is the same as in the previous image.
    LayerReused {
        /// The layer's identifier.
        id: String,
        /// Its diffID.
        diff_id: DiffId,
    },
    /// A layer of the app directory was made.
    AppLayer {
        /// `slice-<n>`.
        id: String,
        /// Its diffID.
        diff_id: DiffId,
    },
    /// All layers of the app directory were made.
    AppLayers {
        /// How many are the same as in the previous image.
        reused: usize,
        /// How many there are.
        total: usize,
    },
    /// A label was set.
    Label {
        /// Its key.
        key: String,
    },
    /// The entrypoint was chosen: a process type, or the launcher itself.
    DefaultProcess {
        /// The process type.
        process_type: Option<String>,
    },
}
