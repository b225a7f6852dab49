//! How the library and `cnb-init` talk: JSON in length-prefixed frames over a socket, file descriptors beside them.

use std::ffi::OsStr;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Exit;
use crate::plan::Plan;

/// The most bytes of one frame; environments and plans are far smaller.
const LIMIT: usize = 64 << 20;
/// The most descriptors beside one frame.
const DESCRIPTORS: usize = 4;

/// Bytes that need not be UTF-8, written as a string with one character for each byte.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    pub(crate) fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(&self.0)
    }
}

impl From<&OsStr> for Bytes {
    fn from(text: &OsStr) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_os_str(), f)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().map(|&b| char::from(b)).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)));
        bytes.collect::<Result<_, _>>().map(Self).map_err(serde::de::Error::custom)
    }
}

/// What the library asks of init.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first message: what to be.
    Setup(Plan),
    /// Start a command; the descriptor beside it is where the answers go, then the streams if they are inherited.
    Start(Start),
    /// Send a signal to the command of this number.
    Signal { id: u64, signal: i32 },
}

/// A command to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) id: u64,
    pub(crate) argv: Vec<Bytes>,
    pub(crate) env: Vec<Bytes>,
    pub(crate) cwd: Bytes,
    pub(crate) search: bool,
    pub(crate) streams: Streams,
    /// The size of a new terminal.
    pub(crate) window: Option<Window>,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

/// What a command's three standard streams are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Streams {
    /// Input is empty; output and error are one pipe, whose other end comes with [`Reply::Started`].
    Merged,
    /// A new terminal of the guest, whose other end comes with [`Reply::Started`].
    Terminal,
    /// The three descriptors that came with the request.
    Inherited,
}

/// What init answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Process 1 exists; its handle is beside this message.
    Forked,
    /// Everything is in place; the handle of the guest's root is beside this message.
    Ready { memory_limited: bool },
    /// A command runs.
    Started,
    /// A step failed.
    Failed { step: String, errno: i32 },
    /// A command has ended.
    Ended(End),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

impl From<End> for Exit {
    fn from(end: End) -> Self {
        match end {
            End::Code(code) => Self::Code(code),
            End::Signal(signal) => Self::Signal(signal),
        }
    }
}

/// Sends one frame with descriptors beside it.
pub(crate) fn send<T: Serialize>(socket: &UnixStream, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let size = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = size.to_le_bytes().to_vec();
    frame.extend_from_slice(&body);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::from(rustix::io::Errno::TOOBIG));
    }
    let sent = loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(&frame)], &mut beside, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other?,
        }
    };
    // The rest of a large frame follows as plain bytes; a receiver that went away is an error, never SIGPIPE.
    let mut rest = &frame[sent..];
    while !rest.is_empty() {
        match rustix::net::send(socket, rest, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            other => rest = &rest[other?..],
        }
    }
    Ok(())
}

/// Receives one frame and its descriptors; `None` when the other side has gone.
pub(crate) fn receive<T: DeserializeOwned>(mut socket: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut size = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut into = [IoSliceMut::new(&mut size)];
        match rustix::net::recvmsg(socket.as_fd(), &mut into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            // A peer that was killed with unread data in its socket resets the connection: gone all the same.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?.bytes,
        }
    };
    if got == 0 {
        return Ok(None);
    }
    let mut fds = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    socket.read_exact(&mut size[got..])?;
    let size = u32::from_le_bytes(size) as usize;
    if size > LIMIT {
        return Err(io::Error::other("a message is too large"));
    }
    let mut body = vec![0; size];
    socket.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&body)?, fds)))
}

/// Sends one byte: the other side may go on.
pub(crate) fn nudge(mut socket: &UnixStream) -> io::Result<()> {
    socket.write_all(&[0])
}

/// Waits for one byte from the other side.
pub(crate) fn await_nudge(mut socket: &UnixStream) -> io::Result<()> {
    socket.read_exact(&mut [0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_survive_the_wire() {
        let all: Vec<u8> = (0..=255).collect();
        let text = serde_json::to_string(&Bytes(all.clone())).unwrap();
        assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap().0, all);
        assert!(serde_json::from_str::<Bytes>("\"\u{20ac}\"").is_err());
    }

    #[test]
    fn frames_larger_than_the_socket_arrive_whole_with_their_descriptors() {
        let (a, b) = UnixStream::pair().unwrap();
        let message = Bytes(vec![7; 3 << 20]);
        std::thread::scope(|s| {
            s.spawn(|| send(&a, &message, &[b.as_fd()]).unwrap());
            let (found, fds) = receive::<Bytes>(&b).unwrap().unwrap();
            assert_eq!(found.0.len(), 3 << 20);
            assert_eq!(fds.len(), 1);
        });
        drop(a);
        assert!(receive::<Bytes>(&b).unwrap().is_none());
    }
}
