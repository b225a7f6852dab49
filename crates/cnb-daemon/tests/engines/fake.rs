//! A server that answers as a test tells it to, well or badly.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use cnb_daemon::{Address, Engine};

/// What a request asks: method and target, and the names and sizes in the tar that it sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) tar: Vec<(String, u64)>,
}

/// How the server answers.
pub(crate) enum Reply {
    /// Status and body, by the rules.
    Body(u16, String),
    /// These bytes as they are, and then the connection is closed.
    Raw(String),
    /// The connection is closed after the answer, which does not say so.
    AndClose(u16, String),
    /// The answer comes before the request's body is read, and the connection is closed.
    Early(u16, String),
}

/// Ends when its socket does: it is dropped with the test's folder.
pub(crate) struct Fake {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Asked>>>,
    server: Option<JoinHandle<()>>,
}

impl Fake {
    /// Starts a server whose answers `script` gives; `/_ping` is answered as Docker does.
    pub(crate) fn docker(mut script: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        Self::raw(
            move |line| {
                if line.ends_with("/_ping") { Reply::Raw(PING.to_owned()) } else { script(line) }
            },
        )
    }

    /// Starts a server whose answers `script` gives.
    pub(crate) fn raw(mut script: impl FnMut(&str) -> Reply + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("engine.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let server = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                // The last client is the test's end.
                if !serve(stream, &mut script, &log) {
                    return;
                }
            }
        });
        Self { dir, asked, server: Some(server) }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("engine.sock")
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix(self.socket())
    }

    pub(crate) fn connect(&self) -> Engine {
        Engine::connect(&self.address()).unwrap().spooling_in(self.dir.path())
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Ok(mut last) = UnixStream::connect(self.socket()) {
            let _ = last.write_all(b"END / HTTP/1.1\r\n\r\n");
        }
        if let Some(server) = self.server.take()
            && !std::thread::panicking()
        {
            server.join().unwrap();
        }
    }
}

const PING: &str =
    "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10\r\nContent-Length: 2\r\n\r\nOK";

/// Serves one connection; returns whether another is to come.
fn serve(stream: UnixStream, script: &mut dyn FnMut(&str) -> Reply, log: &Mutex<Vec<Asked>>) -> bool {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((line, is_chunked)) = head(&mut reader) {
        if line.starts_with("END") {
            return false;
        }
        let reply = script(&line);
        let early = matches!(reply, Reply::Early(..));
        let tar = if is_chunked && !early { tar_names(&chunks(&mut reader)) } else { Vec::new() };
        log.lock().unwrap().push(Asked { line, tar });
        let (text, close) = match reply {
            Reply::Raw(text) => {
                let close = !text.contains("Content-Length");
                (text, close)
            }
            Reply::Body(status, body) => (answer(status, &body), false),
            Reply::AndClose(status, body) | Reply::Early(status, body) => (answer(status, &body), true),
        };
        if writer.write_all(text.as_bytes()).is_err() || close {
            return true;
        }
    }
    true
}

fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Some\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn head(reader: &mut impl BufRead) -> Option<(String, bool)> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let mut is_chunked = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        is_chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
        if line.trim().is_empty() {
            let line = first.trim().trim_end_matches(" HTTP/1.1").to_owned();
            return Some((line, is_chunked));
        }
    }
}

fn chunks(reader: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let size = u64::from_str_radix(line.trim(), 16).unwrap();
        reader.by_ref().take(size).read_to_end(&mut body).unwrap();
        reader.read_line(&mut String::new()).unwrap();
        if size == 0 {
            return body;
        }
    }
}

fn tar_names(bytes: &[u8]) -> Vec<(String, u64)> {
    let mut archive = tar::Archive::new(bytes);
    let entries = archive.entries().unwrap().map_while(Result::ok);
    entries.map(|e| (e.path().unwrap().to_string_lossy().into_owned(), e.size())).collect()
}
