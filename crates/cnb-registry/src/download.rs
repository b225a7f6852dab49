//! Blobs that come in: small ones at once, layers as a reader that resumes where a connection broke.
//!
//! A task of the runtime fetches ahead by a few pieces; the reader takes them. What the reader gives is not
//! verified here: `cnb_image` wraps every blob in a reader that checks size and digest.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use cnb_image::ImageError;
use cnb_image::blob_store::{DOCUMENT_LIMIT, digest_of};
use cnb_spec::digest::Digest;
use cnb_spec::oci::Descriptor;
use futures_util::future::{Either, select};
use futures_util::pin_mut;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::answer::{Answer, Head, Pace};
use crate::auth::{Access, scope};
use crate::error::{Again, Fault};
use crate::stop::Stop;
use crate::transport::{Call, Place, Transport};

/// How many pieces are fetched ahead; each is at most some hundred KiB.
const AHEAD: usize = 16;

/// After this much, earlier failures are forgotten: a long download over a bad line goes on while it moves.
const PROGRESS: u64 = 1 << 20;

impl Transport {
    /// Reads a small blob: a config.
    pub(crate) async fn blob(&self, places: &[Place], descriptor: &Descriptor) -> Result<Bytes, Fault> {
        if descriptor.size > DOCUMENT_LIMIT {
            let text =
                format!("it has {} bytes, more than the {DOCUMENT_LIMIT} that are read", descriptor.size);
            return Err(Fault::invalid(text));
        }
        self.first(places, |place| async move {
            let reply = self.ask(place, &get(place, descriptor), descriptor.size).await?.success()?;
            let (size, digest) = (reply.body.len() as u64, digest_of(&reply.body));
            if size != descriptor.size {
                return Err(Fault::invalid(format!("it has {size} of its {} bytes", descriptor.size)));
            }
            if digest != descriptor.digest {
                return Err(Fault::invalid(format!("its bytes have the digest `{digest}`")));
            }
            Ok(reply.body)
        })
        .await
    }

    /// Opens a blob at the first place that has it.
    pub(crate) async fn open_blob(
        &self,
        places: &[Place],
        descriptor: &Descriptor,
        offset: u64,
    ) -> Result<Opened, Fault> {
        self.first(places, |place| async move {
            let mut call = get(place, descriptor);
            if offset > 0 {
                call = call.header(RANGE, &format!("bytes={offset}-"));
            }
            let answer = self.send(place, &call).await?;
            if !answer.status().is_success() {
                return Err(answer.whole(0).await?.fault());
            }
            let skip = if starts_at(&answer, offset)? { 0 } else { offset };
            let said: Option<u64> = answer.header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
            let expected = descriptor.size - offset + skip;
            match said {
                Some(said) if said != expected => Err(Fault::invalid(format!(
                    "the registry has {said} bytes of it where {expected} are expected"
                ))),
                _ => Ok(Opened { answer, skip }),
            }
        })
        .await
    }

    /// Tries `places` in order; the error of the last one counts.
    pub(crate) async fn first<'p, T, F>(
        &self,
        places: &'p [Place],
        work: impl Fn(&'p Place) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut failed = None;
        for place in places {
            match work(place).await {
                Ok(found) => return Ok(found),
                Err(fault) => failed = Some(fault),
            }
        }
        Err(failed.unwrap_or_else(|| Fault::invalid("there is no place to read it from")))
    }
}

/// A blob whose bytes are coming.
pub(crate) struct Opened {
    answer: Answer,
    /// How many bytes come that we have already: not every registry knows ranges.
    skip: u64,
}

fn get(place: &Place, descriptor: &Descriptor) -> Call {
    let path = format!("{}/blobs/{}", place.name.path(), descriptor.digest);
    Call::new(Method::GET, place.endpoint.url(&path)).scope(scope(place.name.path(), Access::Pull))
}

/// Returns whether an answer begins at `offset`; the alternative is the start of the blob.
fn starts_at(answer: &Answer, offset: u64) -> Result<bool, Fault> {
    if answer.status() != 206 {
        return Ok(offset == 0);
    }
    let range = answer.header(CONTENT_RANGE.as_str()).unwrap_or_default();
    let start: Option<u64> =
        range.strip_prefix("bytes ").and_then(|r| r.split_once('-')).and_then(|(s, _)| s.parse().ok());
    match start {
        Some(start) if start == offset => Ok(true),
        _ => {
            Err(Fault::invalid(format!("the registry sent the range `{range}` instead of `bytes {offset}-`")))
        }
    }
}

/// The bytes of a blob as they come in.
pub(crate) struct Download {
    pieces: mpsc::Receiver<Result<Bytes, Fault>>,
    current: Bytes,
    left: u64,
    stop: Stop,
    digest: Digest,
    place: String,
}

impl Download {
    /// Starts the task that fetches; must be called within the runtime.
    pub(crate) fn start(
        transport: Arc<Transport>,
        places: Vec<Place>,
        descriptor: Descriptor,
        opened: Opened,
        place: String,
    ) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let stop = transport.settings.cancel.clone();
        let left = descriptor.size;
        let digest = descriptor.digest;
        let download = Self { pieces, current: Bytes::new(), left, stop: stop.clone(), digest, place };
        tokio::spawn(async move {
            let fetch = fetch(&transport, &places, &descriptor, opened, &sender);
            let stopped = stop.stopped();
            pin_mut!(fetch, stopped);
            let result = match select(stopped, fetch).await {
                Either::Left(_) => Err(Fault::cancelled()),
                Either::Right((result, _)) => result,
            };
            if let Err(fault) = result {
                // Nobody listens any more if this fails.
                let _ = sender.send(Err(fault)).await;
            }
        });
        download
    }

    /// Returns an error that `cnb_image` takes as it is.
    fn error(&self, fault: Fault) -> io::Error {
        let source =
            Box::new(fault.while_doing(format!("read the blob `{}` of `{}`", self.digest, self.place)));
        io::Error::other(ImageError::Remote { digest: self.digest, place: self.place.clone(), source })
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_stopped() {
            return Err(self.error(Fault::cancelled()));
        }
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => self.current = piece,
                Some(Err(fault)) => return Err(self.error(fault)),
                None if self.left == 0 => return Ok(0),
                None => return Err(self.error(Fault::cancelled())),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current[..count]);
        self.current.advance(count);
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

/// Hands all pieces of a blob to `sender`, over as many connections as it takes.
async fn fetch(
    transport: &Transport,
    places: &[Place],
    descriptor: &Descriptor,
    opened: Opened,
    sender: &mpsc::Sender<Result<Bytes, Fault>>,
) -> Result<(), Fault> {
    let mut opened = opened;
    let (mut offset, mut failures, mut marked) = (0, 0, 0);
    loop {
        let before = offset;
        let fault = match drain(&mut opened, descriptor.size, &mut offset, transport, sender).await {
            ControlFlow::Break(result) => return result,
            ControlFlow::Continue(fault) => fault,
        };
        if offset >= marked + PROGRESS {
            (failures, marked) = (0, offset);
        }
        failures += 1;
        transport.trace(|| {
            format!("blob {}: {} after {} bytes", descriptor.digest, fault.message, offset - before)
        });
        let Some(pause) = transport.settings.retries.after(failures, fault.again) else { return Err(fault) };
        sleep(pause).await;
        opened = transport.open_blob(places, descriptor, offset).await?;
    }
}

/// Hands on what comes over one connection; goes on with the reason why it ended too early.
async fn drain(
    opened: &mut Opened,
    size: u64,
    offset: &mut u64,
    transport: &Transport,
    sender: &mpsc::Sender<Result<Bytes, Fault>>,
) -> ControlFlow<Result<(), Fault>, Fault> {
    let mut pace = Pace::new(transport.settings.timeouts.stall);
    loop {
        let mut piece = match opened.answer.chunk().await {
            Ok(Some(piece)) => piece,
            Ok(None) if *offset == size => return ControlFlow::Break(Ok(())),
            Ok(None) => {
                let text = format!("the connection ended after {offset} of {size} bytes");
                return ControlFlow::Continue(Fault::broken(text));
            }
            Err(fault) => return ControlFlow::Continue(fault),
        };
        if let Err(fault) = pace.moved(piece.len()) {
            return ControlFlow::Continue(fault.again(Again::Yes));
        }
        let known = opened.skip.min(piece.len() as u64);
        opened.skip -= known;
        piece.advance(usize::try_from(known).unwrap_or(piece.len()));
        if piece.is_empty() {
            continue;
        }
        *offset += piece.len() as u64;
        if *offset > size {
            return ControlFlow::Break(Err(Fault::invalid(format!("it has more than its {size} bytes"))));
        }
        if sender.send(Ok(piece)).await.is_err() {
            // The reader is gone, which is its right.
            return ControlFlow::Break(Ok(()));
        }
        // Time in which the reader did not want more is not the registry's.
        pace.rest();
    }
}
