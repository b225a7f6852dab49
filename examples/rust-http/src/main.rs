//! Answers every request with a greeting from a file beside the program.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    // The first process of a container is ended by no signal that it does not handle.
    signal_hook::flag::register_conditional_shutdown(
        signal_hook::consts::SIGTERM,
        0,
        std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)),
    )?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    for stream in listener.incoming() {
        // Somebody who went away is no reason to stop.
        if let Err(error) = stream.and_then(answer) {
            eprintln!("a connection broke: {error}");
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    // The request ends with an empty line.
    let lines = BufReader::new(stream.try_clone()?).lines();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let body = std::fs::read_to_string("greeting.txt")?;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}
