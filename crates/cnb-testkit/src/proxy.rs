//! Proxies: one in front of a registry, so that its traffic can be counted, and one that clients are told to use.

use std::fmt::Write as _;
use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::http::{Body, Content, Request, Response, Server, read_headers, read_line};

/// How long the registry may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// What holds for one connection only, or is written anew.
const OWN: &[&str] = &["connection", "transfer-encoding", "content-length", "expect", "keep-alive"];

/// Starts a proxy that passes everything on to `upstream`, over HTTP, and writes a journal.
pub fn reverse(upstream: SocketAddr) -> io::Result<Server> {
    Server::start(Ipv4Addr::LOCALHOST, Arc::default(), |_| {
        Arc::new(move |request, body| Ok(pass(upstream, request, body)?.whole()))
    })
}

/// Starts a proxy for clients, as `HTTP_PROXY` and `HTTPS_PROXY` name one; with credentials, it demands them. Its
/// journal has targets as the client wrote them: `http://host/path`, and `host:port` for `CONNECT`.
///
/// Whatever the host is called, it connects to loopback: no test reaches anything else.
pub fn forward(credentials: Option<(String, String)>) -> io::Result<Server> {
    Server::start(Ipv4Addr::LOCALHOST, Arc::default(), |_| {
        Arc::new(move |request, body| {
            if credentials.is_some() && request.basic_in("proxy-authorization") != credentials {
                let refusal = Response::new(407).with("Proxy-Authenticate", "Basic realm=\"testkit\"");
                return Ok(refusal.whole());
            }
            Ok(relay(request, body)?.whole())
        })
    })
}

fn relay(request: &Request, body: &mut Body<'_>) -> io::Result<Response> {
    if request.method == "CONNECT" {
        let upstream = TcpStream::connect(on_loopback(&request.target)?)?;
        return Ok(Response { content: Content::Tunnel(upstream), ..Response::new(200) });
    }
    let Some(rest) = request.target.strip_prefix("http://") else { return Ok(Response::new(400)) };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let mut request = Request { target: path.to_owned(), ..request.clone() };
    request.headers.retain(|(name, _)| name != "proxy-authorization");
    pass(on_loopback(authority)?, &request, body)
}

/// Returns the address behind `host:port`: a loopback address itself, and otherwise 127.0.0.1.
fn on_loopback(authority: &str) -> io::Result<SocketAddr> {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "80"));
    let port = port.parse().map_err(|_| io::Error::other(format!("no port in `{authority}`")))?;
    let ip = host.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_loopback);
    Ok(SocketAddr::from((ip.unwrap_or(Ipv4Addr::LOCALHOST), port)))
}

fn pass(upstream: SocketAddr, request: &Request, body: &mut Body<'_>) -> io::Result<Response> {
    let mut stream = TcpStream::connect(upstream)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = request.header("content-length");
    let chunked = length.is_none() && request.header("transfer-encoding").is_some();
    // The answer to a request of HTTP/1.0 comes without chunks; bodies in chunks need 1.1, and get short answers.
    let version = if chunked { "1.1" } else { "1.0" };
    let mut head = format!("{} {} HTTP/{version}\r\nConnection: close\r\n", request.method, request.target);
    for (name, value) in request.headers.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if let Some(length) = length {
        let _ = write!(head, "content-length: {length}\r\n");
    }
    head += if chunked { "transfer-encoding: chunked\r\n\r\n" } else { "\r\n" };
    stream.write_all(head.as_bytes())?;
    send_body(&mut stream, body, chunked)?;
    let mut reader = BufReader::new(stream);
    let line = read_line(&mut reader)?;
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no answer: `{line}`")))?;
    let headers = read_headers(&mut reader)?;
    let mut response = Response::new(status);
    let length = headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, l)| l.parse().ok());
    response.headers = headers.into_iter().filter(|(name, _)| !OWN.contains(&name.as_str())).collect();
    let reader: Box<dyn Read + Send> = match length {
        Some(length) => Box::new(reader.take(length)),
        None => Box::new(reader),
    };
    Ok(Response { content: Content::Stream(reader, length), ..response })
}

/// Sends the body on, until the registry closes the connection, having answered already.
fn send_body(stream: &mut TcpStream, body: &mut Body<'_>, chunked: bool) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = body.read(&mut buffer)?;
        if !chunked && read == 0 {
            return Ok(());
        }
        let piece = &buffer[..read];
        let sent = if chunked {
            // The chunk without bytes is the last one.
            stream
                .write_all(format!("{read:x}\r\n").as_bytes())
                .and_then(|()| stream.write_all(piece))
                .and_then(|()| stream.write_all(b"\r\n"))
        } else {
            stream.write_all(piece)
        };
        if sent.is_err() || read == 0 {
            return Ok(());
        }
    }
}
