//! Whole exports against configs that the Go lifecycle wrote: every byte of the layers is in their diffIDs.
//!
//! The label `io.buildpacks.build.metadata` is left out of the comparison: it names the launcher's version.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use cnb_exporter::{Event, Export, ExportError, Exported, export};
use cnb_fs::{GuestPath, HostPath, Owner, Root};
use cnb_image::{BlobStore, Content, Image, Layout, ParentOwner, validate};
use cnb_spec::api::PlatformApi;
use cnb_spec::platform::group_toml::Group;
use cnb_spec::platform::labels::{BUILD_METADATA, LauncherMetadata, LifecycleMetadata};
use cnb_spec::platform::metadata_toml::BuildMetadata;
use cnb_spec::platform::project_metadata_toml::ProjectMetadata;
use cnb_spec::platform::run_toml::RunImage;

const USER: Owner = Owner { uid: 1001, gid: 1000 };
const GROUP: &str = "[[group]]\nid = \"golden/a\"\nversion = \"1.0.0\"\napi = \"0.12\"\n";

/// The world of a build: `/layers` and `/workspace` below a temporary folder.
struct World {
    dir: tempfile::TempDir,
    group: &'static str,
    run_image: (&'static str, &'static str),
    process_type: Option<&'static str>,
}

impl World {
    fn new(metadata: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world =
            Self { dir, group: GROUP, run_image: ("run-image", "127.0.0.1:5000/run"), process_type: None };
        world.dir("workspace");
        world.file("layers/config/metadata.toml", metadata);
        world
    }

    /// A world whose app is the one file that most golden cases have.
    fn with_app(metadata: &str) -> Self {
        let world = Self::new(metadata);
        world.file("workspace/index.txt", "hello\n");
        world
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn dir(&self, path: &str) {
        let mut at = self.dir.path().to_path_buf();
        for part in Path::new(path) {
            at.push(part);
            if !at.exists() {
                std::fs::create_dir(&at).unwrap();
                mode(&at, 0o755);
            }
        }
    }

    fn file(&self, path: &str, content: &str) {
        self.dir(Path::new(path).parent().unwrap().to_str().unwrap());
        fs_err::write(self.path(path), content).unwrap();
        mode(&self.path(path), 0o644);
    }

    fn link(&self, path: &str, target: &str) {
        symlink(target, self.path(path)).unwrap();
    }

    fn export(
        &self,
        previous: Option<(&LifecycleMetadata, &Image)>,
    ) -> (Result<Exported, ExportError>, Vec<Event>) {
        let root = Root::new(std::fs::File::open(self.dir.path()).unwrap().into(), None);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(self.run_image.0);
        let run_image = Layout::open(&HostPath::absolute(fixture)).unwrap().find(None, None).unwrap();
        let store = BlobStore::open(&HostPath::absolute(self.path("store"))).unwrap();
        let group: Group = toml::from_str(self.group).unwrap();
        let metadata = fs_err::read_to_string(self.path("layers/config/metadata.toml")).unwrap();
        let metadata: BuildMetadata = toml::from_str(&metadata).unwrap();
        let none = LifecycleMetadata::default();
        let events = RefCell::new(Vec::new());
        let config = Export {
            root: &root,
            layers: GuestPath::new("/layers"),
            app: GuestPath::new("/workspace"),
            platform_api: "0.14".parse::<PlatformApi>().unwrap(),
            group: &group.group,
            metadata: &metadata,
            run_image_reference: format!("{}@{}", self.run_image.1, run_image.digest()),
            run_image: &run_image,
            run_image_name: RunImage { image: self.run_image.1.to_owned(), mirrors: Vec::new() },
            previous: previous.map_or(&none, |(metadata, _)| metadata),
            previous_image: previous.map(|(_, image)| image),
            launcher: Content::Bytes(b"#!/bin/sh\n# golden stand-in for the launcher\n".as_slice().into()),
            launcher_metadata: &LauncherMetadata::default(),
            process_type: self.process_type,
            project: &ProjectMetadata::default(),
            exec_env: None,
            source_date_epoch: None,
            owner: USER,
            parents: ParentOwner::Fixed(USER),
            sboms: Vec::new(),
            unchanged: &|_, _| None,
            store: &store,
            extended: None,
            docker_layers: false,
            threads: 2,
        };
        let result = export(&config, &|event| events.borrow_mut().push(event));
        (result, events.into_inner())
    }

    #[track_caller]
    fn check(&self, case: &str) {
        let exported = self.export(None).0.unwrap();
        assert_eq!(validate(&exported.image), []);
        let found = String::from_utf8(exported.image.config_bytes().to_vec()).unwrap();
        let fixture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{case}.json"));
        let expected = fs_err::read_to_string(fixture).unwrap();
        assert_eq!(without_build_metadata(&found), without_build_metadata(&expected));
    }

    #[track_caller]
    fn refused(&self, message: &str) {
        let error = self.export(None).0.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn without_build_metadata(config: &str) -> String {
    let start = config.find(&format!("\"{BUILD_METADATA}\":\"")).unwrap();
    let end = start + config[start..].find("}\",\"").unwrap() + 3;
    format!("{}{}", &config[..start], &config[end..])
}

#[test]
fn the_app_layer_has_dotfiles_links_modes_and_fifos() {
    let world = World::new("processes = []\n");
    world.file("workspace/.git/HEAD", "1\n");
    world.dir("workspace/.git/objects");
    world.dir("workspace/empty");
    world.file("workspace/bin/run", "#!/bin/sh\n");
    world.link("workspace/run", "bin/run");
    world.link("workspace/abs", "/etc/passwd");
    world.file("workspace/s", "s\n");
    mode(&world.path("workspace/empty"), 0o1770);
    mode(&world.path("workspace/s"), 0o2666);
    mode(&world.path("workspace/bin/run"), 0o6755);
    let mkfifo =
        std::process::Command::new("mkfifo").args(["-m", "644"]).arg(world.path("workspace/p")).status();
    assert!(mkfifo.unwrap().success());
    world.check("app-plain");
}

#[test]
fn slices_follow_gos_globs() {
    let world = World::new(concat!(
        "[[slices]]\npaths = [\"*.rb\"]\n[[slices]]\npaths = [\"static/*.png\"]\n[[slices]]\npaths = [\"lib/?/[^2].rb\"]\n",
        "[[slices]]\npaths = [\"**/x.js\", \"static/js/x.j?\"]\n[[slices]]\npaths = [\".*\"]\n",
        "[[slices]]\npaths = [\"{index,other}.html\", \"in\\\\dex.htm[a-l]\"]\n",
    ));
    for file in [
        "index.html",
        "app.rb",
        "static/logo.png",
        "static/css/one.css",
        "static/css/two.css",
        "static/js/x.js",
    ] {
        world.file(&format!("workspace/{file}"), &format!("{file}\n"));
    }
    for file in ["lib/a/1.rb", "lib/b/2.rb", ".conf/c", ".env"] {
        world.file(&format!("workspace/{file}"), &format!("{file}\n"));
    }
    world.check("slices-glob-syntax");
}

#[test]
fn layers_follow_the_group_and_then_their_names() {
    let mut world = World::with_app("processes = []\n");
    world.group = concat!(
        "[[group]]\nid = \"z/bp\"\nversion = \"1.0.0\"\napi = \"0.12\"\n[[group]]\nid = \"none/bp\"\nversion = \"1.0.0\"\n",
        "api = \"0.10\"\n[[group]]\nid = \"a/bp\"\nversion = \"1.0.0\"\napi = \"0.9\"\n",
    );
    for (layer, content) in [("a_bp/c", "3"), ("not_in_group/d", "4"), ("z_bp/b", "1"), ("z_bp/a", "2")] {
        world.file(&format!("layers/{layer}/f"), content);
        world.file(&format!("layers/{layer}.toml"), "[types]\nlaunch = true\n");
    }
    world.check("two-buildpacks-order");
}

#[test]
fn every_mode_survives() {
    let world = World::with_app("processes = []\n");
    world.file("layers/golden_a/deps.toml", "[types]\nlaunch = true\n");
    world.dir("layers/golden_a/deps");
    let at = |name: String| world.path(&format!("layers/golden_a/deps/{name}"));
    for bits in ["0666", "0777", "0444", "4755", "2755", "6711", "1644", "0400", "7777"] {
        world.file(&format!("layers/golden_a/deps/f{bits}"), &format!("{bits}\n"));
        mode(&at(format!("f{bits}")), u32::from_str_radix(bits, 8).unwrap());
    }
    for bits in ["1777", "2775", "0700", "4755", "0555"] {
        world.file(&format!("layers/golden_a/deps/d{bits}/x"), "x\n");
        mode(&at(format!("d{bits}")), u32::from_str_radix(bits, 8).unwrap());
    }
    mode(&at(String::new()), 0o3750);
    world.check("layer-modes");
    // Without this, only root could delete the folder.
    mode(&at("d0555".to_owned()), 0o755);
}

#[test]
fn every_key_of_the_run_images_config_survives_in_gos_order() {
    let mut world = World::with_app("processes = []\n");
    world.run_image = ("run-image-every-key", "127.0.0.1:5000/base");
    world.check("run-image-every-config-key");
}

#[test]
fn a_layer_without_contents_is_that_of_the_previous_image() {
    let world = World::with_app("processes = []\n");
    world.file("layers/golden_a/deps/f", "1");
    world.file("layers/golden_a/deps.toml", "[types]\nlaunch = true\n[metadata]\nk = 1\n");
    let (first, events) = world.export(None);
    let first = first.unwrap();
    let told = |events: &[Event]| {
        let lines = events.iter().filter_map(|e| match e {
            Event::LayerAdded { id, .. } => Some(format!("add {id}")),
            Event::LayerReused { id, .. } => Some(format!("reuse {id}")),
            Event::AppLayers { reused, total } => Some(format!("app {reused}/{total}")),
            _ => None,
        });
        lines.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        told(&events),
        "add golden/a:deps, app 0/1, add buildpacksio/lifecycle:launcher, add buildpacksio/lifecycle:config"
    );
    std::fs::remove_dir_all(world.path("layers/golden_a/deps")).unwrap();
    world.file("layers/golden_a/deps.toml", "[types]\nlaunch = true\n[metadata]\nk = 2\n");
    let (second, events) = world.export(Some((&first.metadata, &first.image)));
    let second = second.unwrap();
    assert_eq!(
        told(&events),
        "reuse golden/a:deps, app 1/1, reuse buildpacksio/lifecycle:launcher, reuse buildpacksio/lifecycle:config"
    );
    assert_eq!(second.image.layers(), first.image.layers());
    let layer = &second.metadata.buildpacks[0].layers["deps"];
    assert_eq!(
        (layer.data["k"].as_i64(), &layer.sha),
        (Some(2), &first.metadata.buildpacks[0].layers["deps"].sha)
    );
    world.refused("cannot reuse 'golden/a:deps', previous image has no metadata for layer 'golden/a:deps'");
}

#[test]
fn a_blob_that_was_lost_is_made_again_or_missed_by_name() {
    let world = World::with_app("processes = []\n");
    world.file("layers/golden_a/deps/f", "1");
    world.file("layers/golden_a/deps.toml", "[types]\nlaunch = true\n");
    let first = world.export(None).0.unwrap();
    fs_err::remove_dir_all(world.path("store")).unwrap();
    let second = world.export(Some((&first.metadata, &first.image))).0.unwrap();
    assert_eq!(second.image.digest(), first.image.digest());
    assert_eq!(validate(&second.image), []);
    fs_err::remove_dir_all(world.path("layers/golden_a/deps")).unwrap();
    fs_err::remove_dir_all(world.path("store")).unwrap();
    let error = world.export(Some((&first.metadata, &first.image))).0.unwrap_err().to_string();
    assert!(
        error.starts_with("reusing layer: 'golden/a:deps': previous image did not have layer"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_exported_is_named() {
    let world = World::with_app("processes = []\n");
    world.file("layers/golden_a/deps.toml", "[types]\nlaunch = true\ncache = true\n");
    world.refused("layer 'golden/a:deps' is cache=true but has no contents");
    let world = World::with_app("processes = []\n");
    world.file("layers/golden_a/bad.toml", "[types\n");
    world.file("layers/golden_a/worse.toml", "launch = true\n");
    world.refused("failed to parse metadata for layers '[golden/a:bad golden/a:worse]'");
    let process = |name: &str| {
        format!("[[processes]]\ntype = \"{name}\"\ncommand = [\"x\"]\nbuildpack-id = \"golden/a\"\n")
    };
    World::with_app(&process("a/b"))
        .refused("creating layer '': invalid process type 'a/b': type may not contain characters '/><:|&\\'");
    let mut world = World::with_app(&process("web"));
    world.process_type = Some("nope");
    world.refused("determining entrypoint: tried to set nope to default but it doesn't exist");
    World::with_app("[[slices]]\npaths = [\"[a-\"]\n").refused("exporting app layers");
}

#[test]
fn a_process_type_becomes_a_link_and_the_entrypoint() {
    let metadata = "buildpack-default-process-type = \"web\"\n[[processes]]\ntype = \"web\"\ncommand = [\"x\"]\nbuildpack-id = \"golden/a\"\n";
    let exported = World::with_app(metadata).export(None).0.unwrap();
    assert_eq!(exported.image.config().config.entrypoint, ["/cnb/process/web"]);
    let sha = "sha256:83d85471d9f8a3834b4e27cf701e3f0aef220cc816d9c173c7d32cd73909a590";
    assert_eq!(exported.metadata.process_types.sha, sha);
    assert_eq!(exported.image.layers().last().unwrap().diff_id.to_string(), sha);
}
