//! The headers that precede every request and every response.

use bytes::Bytes;

use crate::message::{Nullable, Wire};
use crate::reader::DecodeErrorKind;
use crate::{ApiKey, DecodeError, Reader, Str, Version, Writer};

/// What comes before a request's body (headers 1 and 2 of the protocol guide).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    /// The kind of request, as its number: it may be one that this codec does not know.
    pub api_key: i16,
    /// The version of the body.
    pub api_version: i16,
    /// Chosen by the client, repeated in the answer.
    pub correlation_id: i32,
    /// How the client calls itself.
    pub client_id: Option<Str>,
}

/// Names are never compact in headers, in no version (KIP-482).
const PLAIN: Version = Version { number: 0, flexible: false };

impl RequestHeader {
    /// The kind, if this codec knows it.
    pub fn key(&self) -> Option<ApiKey> {
        ApiKey::from_code(self.api_key)
    }

    fn is_flexible(&self) -> bool {
        self.key().is_some_and(|key| self.api_version >= key.flexible_from())
    }

    /// Takes the header from the front of a frame and returns it with the body.
    ///
    /// The body of an unknown kind or version is returned all the same; the caller answers
    /// UNSUPPORTED_VERSION or closes the connection.
    ///
    /// # Errors
    /// A frame too short, a client id that is not UTF-8, tagged fields that make no sense.
    pub fn split(frame: Bytes) -> Result<(Self, Bytes), DecodeError> {
        let mut reader = Reader::new(frame);
        let mut header = Self {
            api_key: reader.i16()?,
            api_version: reader.i16()?,
            correlation_id: reader.i32()?,
            client_id: None,
        };
        if header.api_version < 0 {
            return Err(reader.error(DecodeErrorKind::Version(header.api_version)));
        }
        header.client_id = Str::decode_nullable(&mut reader, PLAIN)?;
        if header.is_flexible() {
            reader.tagged_fields(|_, _| Ok(false))?;
        }
        Ok((header, reader.into_rest()))
    }

    /// Appends the header.
    pub fn encode(&self, writer: &mut Writer) {
        writer.i16(self.api_key);
        writer.i16(self.api_version);
        writer.i32(self.correlation_id);
        Str::encode_nullable(self.client_id.as_ref(), writer, PLAIN);
        if self.is_flexible() {
            writer.unsigned_varint(0);
        }
    }
}

/// Whether the response to that request has tagged fields in its header (header 1).
///
/// ApiVersions never has: a client that does not know our versions must be able to read it
/// (KIP-511).
pub fn response_header_is_flexible(key: ApiKey, version: i16) -> bool {
    key != ApiKey::ApiVersions && version >= key.flexible_from()
}

/// Appends the header of a response.
pub fn encode_response_header(writer: &mut Writer, key: ApiKey, version: i16, correlation: i32) {
    correlation.encode(writer, PLAIN);
    if response_header_is_flexible(key, version) {
        writer.unsigned_varint(0);
    }
}

/// Takes the header from the front of a response; returns the correlation id and the body.
///
/// # Errors
/// A frame too short, or tagged fields that make no sense.
pub fn split_response(
    frame: Bytes,
    key: ApiKey,
    version: i16,
) -> Result<(i32, Bytes), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation = reader.i32()?;
    if response_header_is_flexible(key, version) {
        reader.tagged_fields(|_, _| Ok(false))?;
    }
    Ok((correlation, reader.into_rest()))
}
