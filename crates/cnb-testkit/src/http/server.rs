//! The server: one thread accepts, one serves each connection; all end when it is dropped.

use std::fmt;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt::set_socket_linger;

use super::body::{Body, Break, Wire};
use super::delivery::{Delivery, deliver};
use super::journal::{Journal, Seen};
use super::message::{Content, Reply, Request};

/// Answers a request. An error ends the connection without an answer.
pub type Handler = dyn Fn(&Request, &mut Body<'_>) -> io::Result<Reply> + Send + Sync;

/// A server on a port of its own. Dropping it ends its connections and waits for its threads.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    handler: Arc<Handler>,
    journal: Arc<Journal>,
    stopped: AtomicBool,
    connections: Mutex<Vec<(Weak<TcpStream>, JoinHandle<()>)>>,
}

impl Server {
    /// Starts a server on a free port of `ip`, which is of the loopback range; `handler` is made once the address
    /// is known, and every request is written to `journal`.
    pub fn start(
        ip: Ipv4Addr,
        journal: Arc<Journal>,
        handler: impl FnOnce(SocketAddr) -> Arc<Handler>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            handler: handler(address),
            journal,
            stopped: AtomicBool::new(false),
            connections: Mutex::default(),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The journal, for another server.
    pub(crate) fn shared_journal(&self) -> Arc<Journal> {
        Arc::clone(&self.shared.journal)
    }

    /// What it has seen.
    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.address).finish()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor; where that fails, it is gone already.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(5));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let connections =
            std::mem::take(&mut *self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner));
        for (stream, thread) in connections {
            if let Some(stream) = stream.upgrade() {
                let _ = stream.shutdown(Shutdown::Both);
            }
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream.map(Arc::new) else { continue };
            let weak = Arc::downgrade(&stream);
            let shared = Arc::clone(self);
            let thread = thread::spawn(move || shared.connection(&Wire(stream)));
            let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
            connections.retain(|(_, thread)| !thread.is_finished());
            connections.push((weak, thread));
        }
    }

    /// Serves a connection to its end; an error is the client's business.
    fn connection(&self, wire: &Wire) {
        let _ = wire.0.set_nodelay(true);
        let mut reader = BufReader::new(wire.clone());
        let end = loop {
            match self.exchange(&mut reader) {
                Ok(None) => {}
                Ok(Some(end)) => break end,
                Err(_) => break Break::Close,
            }
        };
        match end {
            Break::Reset => {
                // Closing a socket that lingers for no time resets the connection.
                let _ = set_socket_linger(&*wire.0, Some(Duration::ZERO));
            }
            Break::Stall => {
                let mut gone = [PollFd::new(&*wire.0, PollFlags::RDHUP)];
                let _ = poll(&mut gone, None);
            }
            Break::Close => {
                let _ = wire.0.shutdown(Shutdown::Write);
            }
        }
    }

    /// Serves one request; returns how the connection ends, `None` where another request may follow.
    fn exchange(&self, reader: &mut BufReader<Wire>) -> io::Result<Option<Break>> {
        let Some(request) = Request::read(reader)? else { return Ok(Some(Break::Close)) };
        let mut wire = reader.get_ref().clone();
        let mut body = Body::new(&request, reader);
        let answer = (self.handler)(&request, &mut body)
            .and_then(|reply| if body.drain()? { Ok((reply, true)) } else { Ok((reply, false)) });
        let (received, head_only) = (body.received(), request.method == "HEAD");
        let close = request.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
        let (mut reply, drained) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.journal.add(Seen { request, received, status: None, sent: 0 });
                return body.broken().map_or(Err(error), |how| Ok(Some(how)));
            }
        };
        if close || !drained {
            reply.response = reply.response.with("Connection", "close");
        }
        let status =
            if matches!(reply.delivery, Delivery::Never(_)) { None } else { Some(reply.response.status) };
        let sent = if head_only { 0 } else { reply.response.content.length().unwrap_or(0) };
        self.journal.add(Seen { request, received, status, sent });
        let tunnel = match &reply.response.content {
            Content::Tunnel(upstream) => Some(upstream.try_clone()?),
            Content::Bytes(_) | Content::Stream(..) => None,
        };
        let end = deliver(&mut wire, reply.response, head_only, reply.delivery)?;
        let Some(upstream) = tunnel else { return Ok(end) };
        join(reader, &wire, &upstream)?;
        Ok(Some(Break::Close))
    }
}

/// Lets client and upstream talk until the client closes the connection or the upstream does.
fn join(from_client: &mut BufReader<Wire>, client: &Wire, upstream: &TcpStream) -> io::Result<()> {
    let (mut to_client, mut to_upstream, mut from_upstream) =
        (client.clone(), upstream.try_clone()?, upstream.try_clone()?);
    thread::scope(|scope| {
        scope.spawn(move || {
            // Either end may be gone; then both are to go.
            let _ = io::copy(&mut from_upstream, &mut to_client);
            let _ = to_client.0.shutdown(Shutdown::Both);
        });
        let _ = io::copy(from_client, &mut to_upstream);
        let _ = upstream.shutdown(Shutdown::Both);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::message::Response;
    use super::*;
    use std::io::{Read, Write};

    /// A server that answers with method, path and body.
    fn echo() -> Server {
        Server::start(Ipv4Addr::LOCALHOST, Arc::default(), |_| {
            Arc::new(|request, body| {
                match request.path() {
                    "/reset" => body.cut(3, Break::Reset),
                    "/stall" => body.cut(3, Break::Stall),
                    _ => {}
                }
                let text = String::from_utf8_lossy(&body.bytes(1000)?).into_owned();
                let response = Response::new(200).body(format!("{} {text}", request.path()).into_bytes());
                let delivery = match request.path() {
                    "/never" => Delivery::Never(Break::Close),
                    "/part" => Delivery::Part { bytes: 2, how: Break::Reset },
                    "/trickle" => Delivery::Trickle { bytes: 7, every: Duration::from_millis(1) },
                    _ => Delivery::Whole,
                };
                Ok(Reply { response, delivery })
            })
        })
        .unwrap()
    }

    fn ask(server: &Server, text: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    }

    #[test]
    fn one_connection_carries_several_requests_with_bodies_of_either_kind() {
        let server = echo();
        let answer = ask(
            &server,
            "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloPOST /b HTTP/1.1\r\n\
             Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n\
             GET /trickle HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
        let bodies: Vec<_> = answer.split("HTTP/1.1 200 OK\r\n").skip(1).collect();
        assert_eq!(bodies.len(), 3, "{answer}");
        assert!(
            bodies[0].ends_with("\r\n\r\n/a hello") && bodies[1].ends_with("\r\n\r\n/b abcde"),
            "{answer}"
        );
        assert_eq!(bodies[2], "Connection: close\r\nContent-Length: 9\r\n\r\n/trickle ");
    }

    #[test]
    fn the_journal_has_what_was_asked_and_answered() {
        let server = echo();
        let answer = ask(
            &server,
            "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloHEAD /b HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
        assert!(answer.contains("/a helloHTTP/1.1 200 OK\r\nConnection: close\r\n"), "{answer}");
        assert_eq!(server.journal().lines(), ["POST /a 200", "HEAD /b 200"]);
        assert_eq!(server.journal().bytes(), (5, 8));
        server.journal().forget();
        assert!(server.journal().seen().is_empty());
    }

    #[test]
    fn a_client_that_asks_first_is_told_to_go_on() {
        let server = echo();
        let answer = ask(
            &server,
            "PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        )
        .unwrap();
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
    }

    #[test]
    fn connections_break_where_they_were_told_to() {
        let server = echo();
        let post = |path| format!("POST {path} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(ask(&server, &post("/reset")).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(ask(&server, &post("/never")).unwrap(), "");
        assert_eq!(ask(&server, &post("/part")).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(server.journal().lines(), ["POST /reset -", "POST /never -", "POST /part 200"]);
        assert_eq!(server.journal().seen()[0].received, 3);
    }

    #[test]
    fn a_stall_lasts_until_the_client_gives_up() {
        let server = echo();
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        stream.write_all(b"POST /stall HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        assert_eq!(stream.read(&mut [0; 10]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
