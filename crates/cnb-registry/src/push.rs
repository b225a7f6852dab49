//! Pushing: layers, then the config, then the manifest, which alone makes the image visible.

use std::collections::BTreeSet;

use bytes::Bytes;
use cnb_image::{BlobSource, Image, ImageLayer, Tree};
use cnb_spec::digest::DiffId;
use cnb_spec::gojson;
use cnb_spec::image_ref::ImageRef;
use cnb_spec::oci::{Descriptor, Index};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::client::{Event, Pushed, Registry};
use crate::error::{Fault, RegistryError, RegistryErrorKind};
use crate::feed::{Outgoing, Source};
use crate::transport::Place;
use crate::upload::Events;

impl Registry {
    /// Sends layers (in parallel, existing ones skipped, others mounted where they can be), then the config,
    /// then the manifest. When anything fails, the name stays what it was.
    pub fn push(
        &self,
        image: &Image,
        to: &ImageRef,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<Pushed, RegistryError> {
        self.run(&|| format!("push `{to}`"), self.send_image(image, to, events))
    }

    /// Puts an index whose manifests are at the repository already.
    pub fn push_index(&self, index: &Index, to: &ImageRef) -> Result<Pushed, RegistryError> {
        let action = || format!("push the index `{to}`");
        let bytes = gojson::to_string(index)
            .map_err(|e| Fault::invalid("the index cannot be written").caused_by(e).while_doing(action()))?;
        self.put(&index.media_type, bytes.into_bytes(), to)
    }

    /// Puts a manifest or index as it is, byte for byte; what it names is at the repository already.
    pub fn push_document(
        &self,
        descriptor: &Descriptor,
        bytes: Vec<u8>,
        to: &ImageRef,
    ) -> Result<Pushed, RegistryError> {
        self.put(&descriptor.media_type, bytes, to)
    }

    /// Sends all of `tree` as it is, what is below first; with its last request `to` is what `tree` is.
    pub fn push_tree(
        &self,
        tree: &Tree,
        to: &ImageRef,
        events: &(dyn Fn(Event) + Sync),
    ) -> Result<Pushed, RegistryError> {
        for child in &tree.children {
            self.push_tree(child, &to.with_digest(child.descriptor.digest), events)?;
        }
        self.run(&|| format!("push `{to}`"), async {
            let place = self.transport().place(to, false).await?;
            let mut seen = BTreeSet::new();
            let blobs = tree.blobs.iter().filter(|(d, _)| seen.insert(d.digest)).map(as_layer);
            let blobs: Vec<Outgoing> = blobs.filter(|b| !is_elsewhere(b)).map(outgoing).collect();
            self.send_all(&place, &blobs, events).await
        })?;
        self.push_document(&tree.descriptor, tree.bytes.clone(), to)
    }

    fn put(&self, media_type: &str, bytes: Vec<u8>, to: &ImageRef) -> Result<Pushed, RegistryError> {
        let size = bytes.len() as u64;
        self.run(&|| format!("push the manifest of `{to}`"), async {
            let place = self.transport().place(to, false).await?;
            let bytes = Bytes::from(bytes);
            let put = self.transport().put_document(&place, media_type, bytes.clone()).await?;
            self.transport().list_referrer(&place, media_type, &bytes, &put).await?;
            Ok(Pushed { digest: put.digest, size })
        })
    }

    async fn send_all(&self, place: &Place, blobs: &[Outgoing], events: Events<'_>) -> Result<(), Fault> {
        let transport = self.transport();
        stream::iter(blobs)
            .map(|blob| transport.put_blob(place, blob, events))
            .buffer_unordered(transport.settings.transfers.max(1))
            .try_collect::<()>()
            .await
    }

    async fn send_image(&self, image: &Image, to: &ImageRef, events: Events<'_>) -> Result<Pushed, Fault> {
        let layers = outgoing_layers(image)?;
        let transport = self.transport();
        let place = transport.place(to, false).await?;
        self.send_all(&place, &layers, events).await?;
        let config = Outgoing {
            descriptor: image.manifest().config.clone(),
            source: Source::Bytes(Bytes::copy_from_slice(image.config_bytes())),
        };
        transport.put_blob(&place, &config, events).await?;
        let bytes = Bytes::copy_from_slice(image.manifest_bytes());
        let size = bytes.len() as u64;
        let media_type = image.family().manifest();
        let put = transport.put_document(&place, &media_type, bytes.clone()).await?;
        transport.list_referrer(&place, &media_type, &bytes, &put).await?;
        Ok(Pushed { digest: put.digest, size })
    }
}

/// Returns the layers that have to be at the registry, each once.
fn outgoing_layers(image: &Image) -> Result<Vec<Outgoing>, Fault> {
    let mut seen = BTreeSet::new();
    let mut layers = Vec::new();
    for layer in image.layers() {
        if !seen.insert(layer.descriptor.digest) || is_elsewhere(layer) {
            continue;
        }
        if let BlobSource::Remote(remote) = &layer.blob
            && remote.0.repository().is_none()
        {
            let text = format!(
                "the layer `{}` is known to `{}` only by its uncompressed content",
                layer.diff_id,
                remote.0.place()
            );
            return Err(Fault::new(RegistryErrorKind::Image, text));
        }
        layers.push(outgoing(layer.clone()));
    }
    Ok(layers)
}

fn outgoing(layer: ImageLayer) -> Outgoing {
    Outgoing { descriptor: layer.descriptor.clone(), source: Source::Layer(Box::new(layer)) }
}

/// Takes a blob of which only the digest is known, and of which nothing else is needed here.
fn as_layer((descriptor, blob): &(Descriptor, BlobSource)) -> ImageLayer {
    let diff_id = DiffId::from_bytes(*descriptor.digest.as_bytes());
    ImageLayer { descriptor: descriptor.clone(), diff_id, blob: blob.clone() }
}

/// Returns whether a layer may only be fetched from the URLs that its descriptor names.
fn is_elsewhere(layer: &ImageLayer) -> bool {
    let kind = &layer.descriptor.media_type;
    !layer.descriptor.urls.is_empty() && (kind.contains("nondistributable") || kind.contains(".foreign."))
}
