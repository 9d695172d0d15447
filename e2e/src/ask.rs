//! One request to one broker, by the protocol itself: for what client libraries do not ask.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use vltava_wire::header::{RequestHeader, split_response};
use vltava_wire::{Message, Request, Writer};

use crate::Outcome;

/// What an answer may take, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// Sends a request and returns the answer.
///
/// # Errors
/// If the broker does not answer within ten seconds, or not with such an answer.
pub fn ask<R: Request>(address: &str, request: &R, version: i16) -> Outcome<R::Response> {
    let name = R::NAME;
    let failed = |error: std::io::Error| format!("{name} to {address}: {error}");
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id: 1,
        client_id: Some("e2e".into()),
    };
    let mut writer = Writer::new();
    header.encode(&mut writer);
    request.write(&mut writer, version);
    let body = writer.into_bytes();
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    stream.write_all(&(body.len() as i32).to_be_bytes()).map_err(failed)?;
    stream.write_all(&body).map_err(failed)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).map_err(failed)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_MAX {
        return Err(format!("{name} to {address}: an answer of {length} bytes"));
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).map_err(failed)?;
    let answer = split_response(frame.into(), R::KEY, version);
    let answer = answer.and_then(|(_, body)| R::Response::read(body, version));
    answer.map_err(|error| format!("{name} to {address}: {error}"))
}
