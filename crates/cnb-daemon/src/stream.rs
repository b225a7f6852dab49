//! The tar that an engine loads an image from, made while it is sent: flat memory, no file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read};
use std::path::PathBuf;

use cnb_fs::FsError;
use cnb_image::media::Compression;
use cnb_image::{BlobSource, Image, ImageError, ImageLayer};
use cnb_spec::digest::DiffId;
use cnb_spec::gojson;
use cnb_spec::image_ref::ImageRef;
use serde::Serialize;

/// The size of a tar block.
const BLOCK: usize = 512;

/// The tar of an image, as a reader.
pub(crate) struct Stream<'a> {
    parts: VecDeque<Part<'a>>,
    current: Option<Current<'a>>,
    failure: Option<ImageError>,
}

enum Part<'a> {
    Bytes(Vec<u8>),
    Layer { layer: &'a ImageLayer, form: Form },
}

/// How a layer is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    unpacked: bool,
    size: u64,
}

enum Current<'a> {
    Bytes(io::Cursor<Vec<u8>>),
    Layer { layer: &'a ImageLayer, blob: Box<dyn Read + Send>, left: u64 },
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl<'a> Stream<'a> {
    /// Plans the tar of `image`; the layers at the places in `blank` are left empty, as the engine has them (E40).
    ///
    /// Layers whose size is not known yet are read once for it.
    pub(crate) fn new(
        image: &'a Image,
        name: Option<&ImageRef>,
        blank: &BTreeSet<usize>,
    ) -> Result<Self, ImageError> {
        let mut parts = VecDeque::new();
        let config = format!("{}.json", image.id().hex());
        file(&mut parts, &config, image.config_bytes())?;
        let mut sent: BTreeMap<DiffId, String> = BTreeMap::new();
        let mut layers = Vec::new();
        for (number, layer) in image.layers().iter().enumerate() {
            if blank.contains(&number) {
                let name = format!("blank_{number}");
                file(&mut parts, &name, &[])?;
                layers.push(name);
                continue;
            }
            if let Some(name) = sent.get(&layer.diff_id) {
                layers.push(name.clone());
                continue;
            }
            let name = format!("{}.tar", layer.diff_id.hex());
            let form = Form::of(layer)?;
            parts.push_back(Part::Bytes(header(&name, form.size)?));
            parts.push_back(Part::Layer { layer, form });
            parts.push_back(Part::Bytes(padding(form.size)));
            layers.push(name.clone());
            sent.insert(layer.diff_id, name);
        }
        let repo_tags = name.map(ImageRef::familiar).into_iter().collect();
        let manifest = gojson::to_string(&[Manifest { config, repo_tags, layers }]).map_err(|source| {
            ImageError::Parse { what: "Docker manifest", name: "new".to_owned(), source }
        })?;
        // Last, so that a stream that breaks off is never a whole image.
        file(&mut parts, "manifest.json", manifest.as_bytes())?;
        parts.push_back(Part::Bytes(vec![0; 2 * BLOCK]));
        Ok(Self { parts, current: None, failure: None })
    }

    /// Returns why reading failed, if it did.
    pub(crate) fn into_failure(self) -> Option<ImageError> {
        self.failure
    }

    fn advance(&mut self) -> Result<bool, ImageError> {
        let Some(part) = self.parts.pop_front() else { return Ok(false) };
        self.current = Some(match part {
            Part::Bytes(bytes) => Current::Bytes(io::Cursor::new(bytes)),
            Part::Layer { layer, form } => {
                let blob = if form.unpacked { layer.open_tar()? } else { Box::new(layer.open()?) };
                Current::Layer { layer, blob, left: form.size }
            }
        });
        Ok(true)
    }

    fn step(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        loop {
            let count = match &mut self.current {
                None => 0,
                Some(Current::Bytes(bytes)) => bytes.read(buffer).unwrap_or_default(),
                Some(Current::Layer { layer, blob, left }) => {
                    let count = blob.read(buffer).map_err(|e| explain(e, layer))?;
                    // The blob is verified, so another size than before means that it was exchanged meanwhile.
                    let rest = left.checked_sub(count as u64).filter(|rest| count > 0 || *rest == 0);
                    *left = rest.ok_or_else(|| ImageError::Damaged {
                        digest: layer.descriptor.digest,
                        how: "its size changed while it was read".to_owned(),
                    })?;
                    count
                }
            };
            if count > 0 {
                return Ok(count);
            }
            if !self.advance()? {
                self.current = None;
                return Ok(0);
            }
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.step(buffer).map_err(|failure| {
            self.failure = Some(failure);
            self.parts.clear();
            self.current = None;
            io::Error::other("the layers cannot be read")
        })
    }
}

impl Form {
    /// Decides how a layer is sent: as it is, but for what Docker 20.10 cannot read or whose size nobody knows.
    fn of(layer: &ImageLayer) -> Result<Self, ImageError> {
        let of_engine = matches!(&layer.blob, BlobSource::Remote(r) if r.0.repository().is_none());
        if layer.compression()? != Compression::Zstd && !of_engine {
            return Ok(Self { unpacked: false, size: layer.descriptor.size });
        }
        let mut tar = layer.open_tar()?;
        let size = io::copy(&mut tar, &mut io::sink()).map_err(|e| explain(e, layer))?;
        Ok(Self { unpacked: true, size })
    }
}

/// Turns an error of a layer's reader into the one that it wraps, or one that names the layer's place.
fn explain(error: io::Error, layer: &ImageLayer) -> ImageError {
    let place = match &layer.blob {
        BlobSource::File(file) | BlobSource::Part { file, .. } => file.as_path().to_path_buf(),
        BlobSource::Remote(remote) => PathBuf::from(remote.0.place()),
    };
    match error.downcast::<ImageError>() {
        Ok(error) => error,
        Err(error) => FsError::on("read", &place)(error).into(),
    }
}

fn file(parts: &mut VecDeque<Part<'_>>, name: &str, content: &[u8]) -> Result<(), ImageError> {
    let size = content.len() as u64;
    let bytes = [header(name, size)?.as_slice(), content, &padding(size)].concat();
    parts.push_back(Part::Bytes(bytes));
    Ok(())
}

fn header(name: &str, size: u64) -> Result<Vec<u8>, ImageError> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).map_err(FsError::on("write the tar entry", name.as_ref()))?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

#[expect(clippy::cast_possible_truncation, reason = "less than a block")]
fn padding(size: u64) -> Vec<u8> {
    vec![0; (BLOCK as u64).wrapping_sub(size % BLOCK as u64) as usize % BLOCK]
}
