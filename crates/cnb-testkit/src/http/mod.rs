//! A small HTTP/1.1 server for fixtures: threads, keep-alive, bodies of known and unknown length, and every way
//! in which a connection can go wrong.
//!
//! Own code, since no HTTP library lets a server reset, stall or trickle at a given byte, and since it is all the
//! fixtures need: no TLS, no compression, no pipelining.

mod base64;
mod body;
mod date;
mod delivery;
mod journal;
mod message;
mod server;

pub use base64::{decode as base64_decode, encode as base64, encode_url as base64_url};
pub use body::{Body, Break};
pub use date::http_date;
pub use delivery::Delivery;
pub use journal::{Journal, Seen};
pub use message::{Content, Reply, Request, Response, percent_decode};
pub use server::{Handler, Server};

pub(crate) use message::{parameters, read_headers, read_line};
