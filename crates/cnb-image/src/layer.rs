//! Makes layers in one pass: walk, tar, hash the tar, compress, hash the blob, store.
//!
//! One queue of chunk tasks serves all layers and all threads: a chunk is produced and hashed in the order
//! of its tar, compressed by whoever is free, and hashed and written in order again. Chunks that can be
//! written come first, so that memory stays flat; small layers run beside each other and a large one is
//! compressed by all threads. The bytes do not depend on the number of threads.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use cnb_fs::FsError;
use cnb_spec::digest::DiffId;
use sha2::{Digest as _, Sha256};

use crate::ImageError;
use crate::blob_store::{Blob, BlobStore, BlobWriter};
use crate::compress::Packer;
use crate::source::{LayerError, LayerSource};
use crate::tar::stream::{CHUNK, TarStream};
use crate::tar::walk;

/// A layer that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The digest of its tar.
    pub diff_id: DiffId,
    /// The size of its tar.
    pub tar_size: u64,
    /// Its blob in the store, gzip.
    pub blob: Blob,
}

/// Makes a layer from each source and stores its blob, on `threads` threads (at least one).
///
/// The order of the answer is that of `sources`. The store remembers which blob holds which layer.
///
/// # Errors
/// The first failure of any layer; blobs of other layers may have been stored by then, which does no harm.
pub fn make_layers(
    store: &BlobStore,
    sources: &[LayerSource<'_>],
    threads: usize,
) -> Result<Vec<Made>, LayerError> {
    let threads = threads.max(1);
    let layers = sources.iter().map(|s| Layer::new(TarStream::new(walk::items(s)))).collect();
    let queue = Queue {
        store,
        state: Mutex::new(State { layers, in_flight: 0, spare: Vec::new(), failure: None }),
        changed: Condvar::new(),
        limit: 2 * threads + 2,
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(64) {
            scope.spawn(|| queue.work());
        }
        queue.work();
    });
    let state = queue.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = state.failure {
        return Err(failure);
    }
    Ok(state.layers.into_iter().filter_map(|l| l.made).collect())
}

/// Writes the plain tar of `source` to `out` and returns its digest and its size in bytes.
pub fn write_tar(
    source: &LayerSource<'_>,
    out: &mut dyn std::io::Write,
    place: &std::path::Path,
) -> Result<(DiffId, u64), LayerError> {
    let mut tar = TarStream::new(walk::items(source));
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        chunk.clear();
        let ended = tar.next_chunk(&mut chunk)?;
        out.write_all(&chunk).map_err(FsError::on("write", place))?;
        if ended {
            return Ok(tar.finish());
        }
    }
}

/// Stores the tar that `tar` gives as a gzip blob; the bytes are those that [`make_layers`] would make of that tar.
///
/// `place` is named when it cannot be read.
pub fn pack_tar(
    store: &BlobStore,
    tar: &mut dyn std::io::Read,
    place: &std::path::Path,
) -> Result<Made, ImageError> {
    let mut packer = Packer::new();
    let mut writer = store.writer()?;
    let mut hash = Sha256::new();
    let (mut chunk, mut member) = (Vec::with_capacity(CHUNK), Vec::new());
    let mut tar_size = 0;
    loop {
        chunk.clear();
        tar.take(CHUNK as u64).read_to_end(&mut chunk).map_err(FsError::on("read", place))?;
        if chunk.is_empty() {
            break;
        }
        hash.update(&chunk);
        tar_size += chunk.len() as u64;
        packer.pack(&chunk, &mut member).map_err(FsError::on("compress what is in", place))?;
        writer.write_all(&member).map_err(FsError::on("write", store.dir().as_path()))?;
    }
    let blob = writer.commit()?;
    let diff_id = DiffId::from_bytes(hash.finalize().into());
    store.remember(&diff_id, blob)?;
    Ok(Made { diff_id, tar_size, blob })
}

struct Queue<'a, 's> {
    store: &'s BlobStore,
    state: Mutex<State<'a>>,
    changed: Condvar,
    /// How many chunks may be between their production and their writing.
    limit: usize,
}

struct State<'a> {
    layers: Vec<Layer<'a>>,
    in_flight: usize,
    spare: Vec<Vec<u8>>,
    failure: Option<LayerError>,
}

struct Layer<'a> {
    /// `None` while a thread has it, and once it has ended.
    tar: Option<TarStream<'a>>,
    ended: Option<(DiffId, u64)>,
    produced: usize,
    raw: VecDeque<(usize, Vec<u8>)>,
    packed: BTreeMap<usize, Vec<u8>>,
    sink: Sink,
    written: usize,
    made: Option<Made>,
}

enum Sink {
    NotOpen,
    InUse,
    Open(BlobWriter),
}

impl<'a> Layer<'a> {
    fn new(tar: TarStream<'a>) -> Self {
        Self {
            tar: Some(tar),
            ended: None,
            produced: 0,
            raw: VecDeque::new(),
            packed: BTreeMap::new(),
            sink: Sink::NotOpen,
            written: 0,
            made: None,
        }
    }
}

enum Task<'a> {
    Produce { layer: usize, tar: TarStream<'a>, buffer: Vec<u8> },
    Pack { layer: usize, number: usize, chunk: Vec<u8>, buffer: Vec<u8> },
    Write { layer: usize, sink: Option<BlobWriter>, chunks: Vec<Vec<u8>> },
    Finish { layer: usize, sink: BlobWriter, diff_id: DiffId, tar_size: u64 },
}

impl<'a> State<'a> {
    fn buffer(&mut self) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    fn next_task(&mut self, limit: usize) -> Option<Task<'a>> {
        self.sink_task().or_else(|| self.pack_task()).or_else(|| self.produce_task(limit))
    }

    fn sink_task(&mut self) -> Option<Task<'a>> {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            if matches!(layer.sink, Sink::InUse) || layer.made.is_some() {
                continue;
            }
            let mut chunks = Vec::new();
            while let Some(chunk) = layer.packed.remove(&layer.written) {
                layer.written += 1;
                chunks.push(chunk);
            }
            if !chunks.is_empty() {
                let sink = match std::mem::replace(&mut layer.sink, Sink::InUse) {
                    Sink::Open(sink) => Some(sink),
                    Sink::NotOpen | Sink::InUse => None,
                };
                return Some(Task::Write { layer: index, sink, chunks });
            }
            if let Some((diff_id, tar_size)) = layer.ended
                && layer.written == layer.produced
            {
                match std::mem::replace(&mut layer.sink, Sink::InUse) {
                    Sink::Open(sink) => return Some(Task::Finish { layer: index, sink, diff_id, tar_size }),
                    // A tar has at least its end, so something was written.
                    other => layer.sink = other,
                }
            }
        }
        None
    }

    fn pack_task(&mut self) -> Option<Task<'a>> {
        let layer = self.layers.iter().position(|l| !l.raw.is_empty())?;
        let (number, chunk) = self.layers[layer].raw.pop_front()?;
        let buffer = self.buffer();
        Some(Task::Pack { layer, number, chunk, buffer })
    }

    fn produce_task(&mut self, limit: usize) -> Option<Task<'a>> {
        if self.in_flight >= limit {
            return None;
        }
        let layer = self.layers.iter().position(|l| l.tar.is_some())?;
        let tar = self.layers[layer].tar.take()?;
        self.in_flight += 1;
        let buffer = self.buffer();
        Some(Task::Produce { layer, tar, buffer })
    }

    fn is_over(&self) -> bool {
        self.failure.is_some() || self.layers.iter().all(|l| l.made.is_some())
    }
}

impl<'a> Queue<'a, '_> {
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut packer = Packer::new();
        let mut state = self.lock();
        while !state.is_over() {
            let Some(task) = state.next_task(self.limit) else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let result = self.perform(task, &mut packer);
            state = self.lock();
            if let Err(failure) = result {
                state.failure.get_or_insert(failure);
            }
            self.changed.notify_all();
        }
        self.changed.notify_all();
    }

    fn perform(&self, task: Task<'a>, packer: &mut Packer) -> Result<(), LayerError> {
        match task {
            Task::Produce { layer, mut tar, mut buffer } => {
                buffer.reserve(CHUNK);
                let ended = tar.next_chunk(&mut buffer)?;
                let mut state = self.lock();
                let layer = &mut state.layers[layer];
                layer.raw.push_back((layer.produced, buffer));
                layer.produced += 1;
                if ended {
                    layer.ended = Some(tar.finish());
                } else {
                    layer.tar = Some(tar);
                }
            }
            Task::Pack { layer, number, chunk, mut buffer } => {
                packer
                    .pack(&chunk, &mut buffer)
                    .map_err(FsError::on("compress a layer for", self.store.dir().as_path()))?;
                let mut state = self.lock();
                state.layers[layer].packed.insert(number, buffer);
                state.spare.push(chunk);
            }
            Task::Write { layer, sink, chunks } => {
                let mut sink = match sink {
                    Some(sink) => sink,
                    None => self.store.writer()?,
                };
                for chunk in &chunks {
                    sink.write_all(chunk)
                        .map_err(FsError::on("write a blob in", self.store.dir().as_path()))?;
                }
                let mut state = self.lock();
                state.in_flight -= chunks.len();
                state.spare.extend(chunks);
                state.layers[layer].sink = Sink::Open(sink);
            }
            Task::Finish { layer, sink, diff_id, tar_size } => {
                let blob = sink.commit()?;
                self.store.remember(&diff_id, blob)?;
                self.lock().layers[layer].made = Some(Made { diff_id, tar_size, blob });
            }
        }
        Ok(())
    }
}
