//! What refers to a manifest: signatures, SBOMs, attestations, by the `subject` of their manifests.
//!
//! A registry that knows distribution-spec 1.1 keeps the list itself. For others, whoever pushes keeps it: an
//! index under the tag `sha256-HEX` of the subject ("Referrers Tag Schema").

use cnb_image::layout::empty_index;
use cnb_image::media;
use cnb_spec::digest::Digest;
use cnb_spec::gojson;
use cnb_spec::oci::{Descriptor, Index, Manifest};

use crate::answer::Reply;
use crate::error::{Fault, RegistryErrorKind};
use crate::manifest::{Put, parse};
use crate::transport::{Place, Transport};

impl Transport {
    /// Lists what refers to the manifest `digest`.
    pub(crate) async fn referrers(&self, place: &Place, digest: &Digest) -> Result<Index, Fault> {
        let mut all = empty_index();
        let path = format!("{}/referrers/{digest}", place.name.path());
        let mut take = |reply: &Reply| {
            let page: Index = parse(reply, "list of referrers")?;
            all.manifests.extend(page.manifests);
            Ok(())
        };
        match self.pages(place, &path, &mut take).await {
            Ok(()) => Ok(all),
            Err(fault) if fault.kind == RegistryErrorKind::NotFound => {
                self.tagged_referrers(&tagged(place, digest)?).await
            }
            Err(fault) => Err(fault),
        }
    }

    /// Reads the list that those who push keep; empty if nobody has made one.
    async fn tagged_referrers(&self, place: &Place) -> Result<Index, Fault> {
        match self.document(place).await {
            Ok((_, bytes)) => serde_json::from_slice(&bytes)
                .map_err(|e| Fault::invalid("the index of referrers is malformed").caused_by(e)),
            Err(fault) if fault.kind == RegistryErrorKind::NotFound => Ok(empty_index()),
            Err(fault) => Err(fault),
        }
    }

    /// Adds a manifest that was put to the list of its subject, if it has one and the registry keeps no list.
    pub(crate) async fn list_referrer(
        &self,
        place: &Place,
        media_type: &str,
        bytes: &[u8],
        put: &Put,
    ) -> Result<(), Fault> {
        if put.knows_subjects || media::document(media_type).is_none() {
            return Ok(());
        }
        // An index may have a subject as well; its other keys do not matter here.
        let Ok(Peek { subject: Some(subject) }) = serde_json::from_slice(bytes) else { return Ok(()) };
        let list = tagged(place, &subject.digest)?;
        let mut index = self.tagged_referrers(&list).await?;
        if index.manifests.iter().any(|known| known.digest == put.digest) {
            return Ok(());
        }
        index.manifests.push(referrer(media_type, bytes, put.digest));
        let text = gojson::to_string(&index)
            .map_err(|e| Fault::invalid("the index of referrers cannot be written").caused_by(e))?;
        self.put_document(&list, &media::index(), text.into_bytes().into()).await?;
        Ok(())
    }
}

#[derive(serde::Deserialize)]
struct Peek {
    #[serde(default)]
    subject: Option<Descriptor>,
}

/// Returns the place of the list for `digest`.
fn tagged(place: &Place, digest: &Digest) -> Result<Place, Fault> {
    let name = place.name.with_tag(&format!("sha256-{}", digest.hex()));
    Ok(Place { name: name.map_err(|e| Fault::invalid(e.to_string()))?, ..place.clone() })
}

/// Returns the entry for a manifest: with what it says of itself, so that lists can be searched.
fn referrer(media_type: &str, bytes: &[u8], digest: Digest) -> Descriptor {
    let mut descriptor = Descriptor::new(media_type.to_owned(), bytes.len() as u64, digest);
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        descriptor.artifact_type = if manifest.artifact_type.is_empty() {
            manifest.config.media_type
        } else {
            manifest.artifact_type
        };
        descriptor.annotations = manifest.annotations;
    } else if let Ok(index) = serde_json::from_slice::<Index>(bytes) {
        descriptor.artifact_type = index.artifact_type;
        descriptor.annotations = index.annotations;
    }
    descriptor
}
