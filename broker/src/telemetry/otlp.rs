//! What clients push is an OTLP message (`MetricsData`), which a collector takes as it is by
//! OTLP/HTTP. What only the broker knows of a client is added to the resource of its metrics.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use vltava_wire::Uuid;

use super::machine::Client;

/// How many pushes may wait for the collector; what comes beyond is dropped.
pub(super) const WAITING_MAX: usize = 256;
/// How long the collector may take for one.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest status line of an answer, in bytes.
const STATUS_MAX: u64 = 1024;

/// `MetricsData.resource_metrics`, `ResourceMetrics.resource`, `Resource.attributes`: each is field
/// 1, and holds a message.
const FIELD_1: u8 = 0x0a;
/// `KeyValue.value`: field 2, a message.
const FIELD_2: u8 = 0x12;

/// Where the collector is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `host:port`.
    authority: String,
    /// The path, with its slash.
    path: String,
}

impl Endpoint {
    /// Reads `http://host:port/path`; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = authority.rsplit_once(':')?;
        port.parse::<u16>().ok().filter(|_| !host.is_empty())?;
        Some(Self { authority: authority.to_owned(), path: format!("/{path}") })
    }
}

/// Sends what it is given until nobody is left who could give it something.
pub(super) async fn export(endpoint: Endpoint, mut waiting: mpsc::Receiver<Vec<u8>>) {
    let mut failing = false;
    while let Some(metrics) = waiting.recv().await {
        let sent = tokio::time::timeout(LIMIT, send(&endpoint, &metrics)).await;
        let failure = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {LIMIT:?}")),
        };
        // Told once: a collector that is away would fill the log.
        if let Some(reason) = failure.as_ref().filter(|_| !failing) {
            tracing::warn!(collector = %endpoint.authority, reason, "metrics of clients are lost");
        } else if failing && failure.is_none() {
            tracing::info!(collector = %endpoint.authority, "takes metrics of clients again");
        }
        failing = failure.is_some();
    }
}

async fn send(endpoint: &Endpoint, metrics: &[u8]) -> std::io::Result<()> {
    let Endpoint { authority, path } = endpoint;
    let mut stream = TcpStream::connect(authority).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        metrics.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(metrics).await?;
    let mut status = String::new();
    let mut limited = BufReader::new(tokio::io::AsyncReadExt::take(stream, STATUS_MAX));
    limited.read_line(&mut status).await?;
    let code = status.split(' ').nth(1).unwrap_or_default();
    if code.starts_with('2') {
        return Ok(());
    }
    Err(std::io::Error::other(format!("the collector answers {:?}", status.trim())))
}

/// What a client pushed, with what the broker knows of it as attributes of the resource.
///
/// A message inside of a message may come in parts, which its reader merges: so what is added is
/// appended to each `ResourceMetrics`, whose other contents are not looked at.
///
/// `None` if the bytes are no such message.
pub(super) fn with_client(metrics: &[u8], instance: Uuid, client: &Client) -> Option<Vec<u8>> {
    let instance = instance.to_string();
    let port = client.source_port.to_string();
    let known = [
        ("client_instance_id", instance.as_str()),
        ("client_id", client.id.as_str()),
        ("client_software_name", client.software_name.as_str()),
        ("client_software_version", client.software_version.as_str()),
        ("client_source_address", client.source_address.as_str()),
        ("client_source_port", port.as_str()),
    ];
    let mut attributes = Vec::new();
    for (key, value) in known {
        let mut text = Vec::new();
        put(&mut text, FIELD_1, value.as_bytes());
        let mut pair = Vec::new();
        put(&mut pair, FIELD_1, key.as_bytes());
        put(&mut pair, FIELD_2, &text);
        put(&mut attributes, FIELD_1, &pair);
    }
    let mut resource = Vec::new();
    put(&mut resource, FIELD_1, &attributes);
    let mut whole = Vec::with_capacity(metrics.len() + resource.len());
    let mut rest = metrics;
    while let Some((tag, after)) = rest.split_first() {
        let (length, after) = varint(after)?;
        let length = usize::try_from(length).ok()?;
        if *tag != FIELD_1 || length > after.len() {
            return None;
        }
        let (part, after) = after.split_at(length);
        put(&mut whole, FIELD_1, &[part, resource.as_slice()].concat());
        rest = after;
    }
    Some(whole)
}

/// Appends a field that holds a message or a text.
fn put(to: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    to.push(tag);
    let mut length = bytes.len();
    while length > 0x7f {
        to.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    to.extend_from_slice(bytes);
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

/// An address as selectors and attributes have it.
pub(super) fn address(peer: IpAddr) -> String {
    peer.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn an_endpoint_is_read() {
        let endpoint = Endpoint::parse("http://collector:4318/v1/metrics").expect("one");
        let (authority, path) = ("collector:4318".to_owned(), "/v1/metrics".to_owned());
        assert_eq!(endpoint, Endpoint { authority, path });
        for wrong in ["https://a:1/", "a:1", "http://a/x", "http://:1/", "http://a:x/"] {
            assert_eq!(Endpoint::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_the_broker_knows_is_added_to_every_resource() {
        let mut pushed = Vec::new();
        put(&mut pushed, FIELD_1, b"\x12\x03abc");
        put(&mut pushed, FIELD_1, b"");
        let client = Client { id: "app".into(), source_port: 9, ..Client::default() };
        let whole = with_client(&pushed, Uuid(1), &client).expect("a message");
        let mut rest = whole.as_slice();
        let mut parts = Vec::new();
        while let Some((tag, after)) = rest.split_first() {
            assert_eq!(*tag, FIELD_1);
            let (length, after) = varint(after).expect("a length");
            let (part, after) = after.split_at(length as usize);
            parts.push(part);
            rest = after;
        }
        assert_eq!(parts.len(), 2);
        assert!(parts[0].starts_with(b"\x12\x03abc\x0a"));
        for part in parts {
            let holds = |text: &[u8]| part.windows(text.len()).any(|window| window == text);
            assert!(holds(b"client_id\x12\x05\x0a\x03app"), "{part:?}");
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let client = Client::default();
        for wrong in [
            &b"\x0a"[..],
            b"\x0a\x05ab",
            b"\x12\x00",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(with_client(wrong, Uuid(1), &client), None, "{wrong:?}");
        }
        assert_eq!(with_client(b"", Uuid(1), &client), Some(Vec::new()));
    }

    #[tokio::test]
    async fn a_push_arrives_at_the_collector() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let endpoint = Endpoint::parse(&format!("http://{address}/v1/metrics")).expect("one");
        let (queue, waiting) = mpsc::channel(1);
        let exporting = tokio::spawn(export(endpoint, waiting));
        queue.send(b"metrics".to_vec()).await.expect("there is room");
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut text = vec![0; 1024];
        let mut read = 0;
        while !text[..read].ends_with(b"metrics") {
            read += stream.read(&mut text[read..]).await.expect("bytes");
        }
        let head = String::from_utf8_lossy(&text[..read]).into_owned();
        assert!(head.starts_with("POST /v1/metrics HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("Content-Length: 7\r\n"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("it listens");
        drop(queue);
        exporting.await.expect("it ends once nobody is left");
    }
}
