//! The bytes of a blob on their way out: read by a thread of their own, a few pieces ahead, verified.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cnb_image::{BlobSource, ImageError, ImageLayer};
use cnb_spec::oci::Descriptor;
use futures_util::stream;
use tokio::sync::mpsc;

use crate::error::Fault;

/// The size of a piece.
const PIECE: usize = 256 << 10;

/// How many pieces are read ahead.
const AHEAD: usize = 4;

/// A blob that is to be sent.
pub(crate) struct Outgoing {
    pub(crate) descriptor: Descriptor,
    pub(crate) source: Source,
}

/// Where its bytes are.
pub(crate) enum Source {
    Bytes(Bytes),
    Layer(Box<ImageLayer>),
}

/// Pieces of a blob in order, from some offset to its end.
pub(crate) struct Feed {
    pieces: mpsc::Receiver<Result<Bytes, ImageError>>,
    left_over: Bytes,
    failed: Option<Fault>,
}

/// A feed whose pieces are part of several requests, one after the other.
pub(crate) type SharedFeed = Arc<tokio::sync::Mutex<Feed>>;

impl Feed {
    /// Opens a blob and reads past its first `skip` bytes; must be called within the runtime.
    ///
    /// All bytes are read and verified from the start on, also when a part is sent already: that is what
    /// tells a damaged file from a registry that got something wrong.
    pub(crate) fn open(outgoing: &Outgoing, skip: u64) -> SharedFeed {
        let (sender, pieces) = mpsc::channel(AHEAD);
        match &outgoing.source {
            Source::Bytes(bytes) => {
                let from = usize::try_from(skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
                // The channel is empty and open.
                let _ = sender.try_send(Ok(bytes.slice(from..)));
            }
            Source::Layer(layer) => {
                let layer = layer.clone();
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = read_all(&layer, skip, &sender) {
                        let _ = sender.blocking_send(Err(error));
                    }
                });
            }
        }
        Arc::new(tokio::sync::Mutex::new(Self { pieces, left_over: Bytes::new(), failed: None }))
    }

    /// Returns why the blob could not be read, if that is why a request failed.
    pub(crate) fn failure(&mut self) -> Option<Fault> {
        self.failed.take()
    }

    /// Returns the next piece, of at most `most` bytes.
    async fn next(&mut self, most: u64) -> Option<io::Result<Bytes>> {
        if self.left_over.is_empty() {
            match self.pieces.recv().await? {
                Ok(piece) => self.left_over = piece,
                Err(error) => {
                    let text = error.to_string();
                    self.failed = Some(Fault::image(error));
                    return Some(Err(io::Error::other(text)));
                }
            }
        }
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.left_over.len());
        Some(Ok(self.left_over.split_to(most)))
    }
}

/// Hands all bytes behind `skip` to `sender`. The last ones only once the whole blob has proved right: a
/// damaged layer is never complete at the registry.
fn read_all(
    layer: &ImageLayer,
    skip: u64,
    sender: &mpsc::Sender<Result<Bytes, ImageError>>,
) -> Result<(), ImageError> {
    let mut reader = layer.open()?;
    let mut skip = skip;
    let mut held: Option<Bytes> = None;
    loop {
        let mut piece = vec![0; PIECE];
        let count = fill(&mut reader, &mut piece).map_err(|e| reader.explain(e, &place_of(layer)))?;
        if let Some(held) = held.take()
            && sender.blocking_send(Ok(held)).is_err()
        {
            return Ok(());
        }
        if count == 0 {
            return Ok(());
        }
        piece.truncate(count);
        let known = skip.min(count as u64);
        skip -= known;
        let piece = Bytes::from(piece).split_off(usize::try_from(known).unwrap_or(count));
        held = (!piece.is_empty()).then_some(piece);
    }
}

/// Reads until `buffer` is full or there is no more.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// Returns what is named when a layer cannot be read.
fn place_of(layer: &ImageLayer) -> PathBuf {
    match &layer.blob {
        BlobSource::File(file) | BlobSource::Part { file, .. } => file.as_path().to_path_buf(),
        BlobSource::Remote(remote) => PathBuf::from(remote.0.place()),
    }
}

/// How many bytes of a request have gone out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Returns the next `size` bytes of a feed as the body of a request.
pub(crate) fn body(feed: &SharedFeed, size: u64, progress: &Progress) -> reqwest::Body {
    let state = (feed.clone(), size, progress.clone());
    let pieces = stream::unfold(state, |(feed, left, progress)| async move {
        if left == 0 {
            return None;
        }
        let next = feed.lock().await.next(left).await?;
        let count = next.as_ref().map_or(0, |piece| piece.len() as u64);
        progress.0.fetch_add(count, Ordering::Relaxed);
        Some((next, (feed, left - count, progress)))
    });
    reqwest::Body::wrap_stream(pieces)
}

/// A body that is only ever sent once.
pub(crate) fn once(body: reqwest::Body) -> Mutex<Option<reqwest::Body>> {
    Mutex::new(Some(body))
}

/// Returns the fault of a feed that has failed.
pub(crate) async fn failure(feed: &SharedFeed) -> Option<Fault> {
    feed.lock().await.failure()
}
