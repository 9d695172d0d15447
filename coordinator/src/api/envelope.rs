//! Envelope (58): a broker forwards a client's request, with the client's principal (KIP-590).
//!
//! The request is handled as if it had come by itself. Should another coordinator be the active
//! one, the envelope says so, and the broker asks that one: the client hears nothing of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use vltava_net::{Answer, Reply};
use vltava_wire::header::RequestHeader;
use vltava_wire::messages::{EnvelopeRequest, EnvelopeResponse};
use vltava_wire::{ApiKey, ErrorCode};

use super::dispatch::{TABLE, dispatch};
use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let envelope = match call.decode::<EnvelopeRequest>() {
        Ok(envelope) => envelope,
        Err(close) => return close.into(),
    };
    let inner = match unwrap(&call, envelope.request_data) {
        Ok(inner) => inner,
        Err(code) => return call.answer::<EnvelopeRequest>(&refusal(code)),
    };
    let not_controller = Arc::clone(&inner.not_controller);
    let header = call.header;
    match dispatch(context, inner) {
        Reply::Ready(answer) => wrap(&header, answer, &not_controller).into(),
        Reply::Later(answer) => {
            Reply::later(async move { wrap(&header, answer.await, &not_controller) })
        }
    }
}

/// The request in an envelope.
fn unwrap(call: &Call, request: Bytes) -> Result<Call, ErrorCode> {
    let (header, body) = RequestHeader::split(request).map_err(|_| ErrorCode::INVALID_REQUEST)?;
    let key = ApiKey::from_code(header.api_key).ok_or(ErrorCode::INVALID_REQUEST)?;
    let row = TABLE.iter().find(|row| row.key == key && row.forwarded);
    let row = row.ok_or(ErrorCode::INVALID_REQUEST)?;
    if !row.versions.contains(header.api_version) {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    let (connection, listener) = (call.connection, Arc::clone(&call.listener));
    Ok(Call { header, key, body, connection, listener, not_controller: Arc::default() })
}

fn wrap(
    header: &RequestHeader,
    answer: Answer,
    not_controller: &std::sync::atomic::AtomicBool,
) -> Answer {
    let response = match answer {
        _ if not_controller.load(Ordering::Acquire) => refusal(ErrorCode::NOT_CONTROLLER),
        Answer::Frame(frame) => {
            EnvelopeResponse { response_data: Some(frame.to_bytes()), error_code: ErrorCode::NONE }
        }
        // What closes a connection is a request that makes no sense; it is the client's.
        Answer::Silent | Answer::Close { .. } => refusal(ErrorCode::INVALID_REQUEST),
    };
    Answer::to::<EnvelopeRequest>(header, &response)
}

fn refusal(error_code: ErrorCode) -> EnvelopeResponse {
    EnvelopeResponse { response_data: None, error_code }
}
