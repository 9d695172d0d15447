//! What a peer that does not speak Kafka's protocol probably speaks instead, for the log.

/// A remark on the first four bytes of what should have been a frame; empty if there is none.
pub(crate) fn guess(first: [u8; 4]) -> &'static str {
    match first {
        [b'G', b'E', b'T', b' ']
        | [b'H', b'E', b'A', b'D']
        | [b'P', b'O', b'S', b'T']
        | [b'P', b'U', b'T', b' '] => " (it looks like HTTP)",
        [0x16, 0x03, ..] => " (it looks like TLS, which this listener does not speak)",
        [b'S', b'S', b'H', b'-'] => " (it looks like SSH)",
        _ => "",
    }
}
