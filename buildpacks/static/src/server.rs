//! The server: files of one folder over HTTP/1.1, with the standard library alone.
//!
//! One thread per connection, their number bounded; each request and each answer has a time limit, so that slow
//! clients cannot hold them for ever. SIGTERM and SIGINT end the process at once.

pub mod answer;
pub mod files;
pub mod request;

use std::ffi::OsString;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use answer::{Answer, Body};
use files::Site;
use request::ReadError;

/// The name that makes this program the server.
pub const NAME: &str = "static-server";

/// The port unless `PORT` names another.
const DEFAULT_PORT: u16 = 8080;
/// How many connections are served at a time; more wait in the kernel's queue.
const MOST_CONNECTIONS: usize = 256;
/// How long a client may take for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection may be idle between requests.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// How long one write may wait for the client.
const WRITE_TIME: Duration = Duration::from_secs(30);

/// Serves and returns when this program was started under the server's name, `None` otherwise.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the server's `main`: the one place that reads the environment"
)]
pub fn main_if_named() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let name = args.next().map(PathBuf::from)?;
    if name.file_name()? != NAME {
        return None;
    }
    let outcome = Options::parse(args, std::env::var_os("PORT")).and_then(|options| serve(&options));
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{NAME}: {reason}");
            ExitCode::FAILURE
        }
    })
}

#[derive(Debug)]
struct Options {
    root: PathBuf,
    spa: bool,
    port: u16,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = OsString>, port: Option<OsString>) -> Result<Self, String> {
        let mut options = Self { root: PathBuf::from("."), spa: false, port: DEFAULT_PORT };
        if let Some(port) = port.filter(|p| !p.is_empty()) {
            options.port = port
                .to_str()
                .and_then(|p| p.parse().ok())
                .ok_or_else(|| format!("`PORT={}` is not a port number", port.display()))?;
        }
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--spa") => options.spa = true,
                Some("--root") => options.root = args.next().ok_or("`--root` needs a folder")?.into(),
                _ => {
                    return Err(format!(
                        "`{}` is not an option; `--root DIR` and `--spa` are",
                        arg.display()
                    ));
                }
            }
        }
        Ok(options)
    }
}

fn serve(options: &Options) -> Result<(), String> {
    let site = Site::open(&options.root, options.spa)
        .map_err(|e| format!("failed to open the folder `{}`: {e}", options.root.display()))?;
    // The first process of a container is ended by a signal only when it asks for that.
    let always = Arc::new(AtomicBool::new(true));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 0, Arc::clone(&always))
            .map_err(|e| format!("failed to listen for signals: {e}"))?;
    }
    let listener =
        listen(options.port).map_err(|e| format!("failed to listen on port {}: {e}", options.port))?;
    let port = listener.local_addr().map_or(options.port, |a| a.port());
    let _ = writeln!(io::stdout(), "serving {} on port {port}", options.root.display());
    accept(&listener, &Arc::new(site));
    Ok(())
}

/// Listens on IPv6 and with it on IPv4, or on IPv4 where there is no IPv6.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
}

/// Counts the connections that are being served.
#[derive(Debug, Default)]
struct Places {
    taken: Mutex<usize>,
    freed: Condvar,
    shown: AtomicUsize,
}

impl Places {
    fn take(&self) {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = self
            .freed
            .wait_while(taken, |taken| *taken >= MOST_CONNECTIONS)
            .unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        self.shown.store(*taken, Ordering::Relaxed);
    }

    fn free(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken -= 1;
        self.shown.store(*taken, Ordering::Relaxed);
        self.freed.notify_one();
    }

    /// Whether so many connections are open that idle ones must not stay.
    fn are_scarce(&self) -> bool {
        self.shown.load(Ordering::Relaxed) > MOST_CONNECTIONS / 2
    }
}

fn accept(listener: &TcpListener, site: &Arc<Site>) {
    let places = Arc::new(Places::default());
    loop {
        places.take();
        let Ok((stream, _)) = listener.accept() else {
            // A client that gave up while waiting, or no free file descriptor for a moment.
            places.free();
            std::thread::yield_now();
            continue;
        };
        let (site, for_thread) = (Arc::clone(site), Arc::clone(&places));
        let started = std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
            // A client that goes away in the middle is its own affair.
            let _ = connection(&stream, &site, &for_thread);
            for_thread.free();
        });
        if started.is_err() {
            places.free();
        }
    }
}

fn connection(stream: &TcpStream, site: &Site, places: &Places) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIME))?;
    let mut pending = Vec::new();
    let mut first = true;
    loop {
        let patience = if first { HEAD_TIME } else { IDLE_TIME };
        let head = match request::read_head(
            &mut pending,
            |buffer, left| read(stream, buffer, left),
            patience,
            HEAD_TIME,
        ) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(()),
            Err(ReadError::Io(error)) => return Err(error),
            Err(ReadError::Status(status)) => {
                return send(stream, Answer::plain(status), false, false);
            }
        };
        first = false;
        let (answer, keep, with_body) = match request::Request::parse(&head) {
            Ok(request) => {
                let keep = request.keep_alive && !places.are_scarce();
                let with_body = request.method != "HEAD";
                (site.answer(&request), keep, with_body)
            }
            Err(status) => (Answer::plain(status), false, true),
        };
        send(stream, answer, keep, with_body)?;
        if !keep {
            return Ok(());
        }
    }
}

fn read(mut stream: &TcpStream, buffer: &mut [u8], left: Duration) -> io::Result<usize> {
    stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
    stream.read(buffer)
}

fn send(stream: &TcpStream, answer: Answer, keep: bool, with_body: bool) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(32 << 10, stream);
    out.write_all(answer.head(keep).as_bytes())?;
    let started = Instant::now();
    match answer.body {
        _ if !with_body => {}
        Body::Nothing => {}
        Body::Text(text) => out.write_all(text.as_bytes())?,
        Body::File { mut file, start, length } => {
            file.seek(SeekFrom::Start(start))?;
            let sent = copy(&mut file.take(length), &mut out, started)?;
            if sent < length {
                // The file became shorter: only an end of the connection can tell the client.
                out.flush()?;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    out.flush()
}

/// Copies, and gives up on a client that takes less than a kilobyte a second for a while.
fn copy(from: &mut impl Read, to: &mut impl Write, started: Instant) -> io::Result<u64> {
    let mut buffer = [0; 16 << 10];
    let mut sent = 0;
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok(sent);
        }
        to.write_all(&buffer[..n])?;
        sent += n as u64;
        let seconds = started.elapsed().as_secs();
        if seconds > WRITE_TIME.as_secs() && sent / seconds < 1024 {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}
