//! DeleteTopics (20).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_node::refused::Refusable;
use vltava_wire::ErrorCode;
use vltava_wire::messages::DeleteTopicsRequest;

use super::{Call, Context};

/// From this version on clients know the code for "topics cannot be deleted".
const DISABLED_SINCE: i16 = 3;

/// A code as a version knows it.
fn known(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::TOPIC_DELETION_DISABLED if version < DISABLED_SINCE => {
            ErrorCode::INVALID_REQUEST
        }
        code => code,
    }
}

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<DeleteTopicsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    let version = call.header.api_version;
    context.operate(
        call,
        request,
        |request, controller, _| controller.delete_topics(request),
        move |request, failure| request.refused(known(failure.code, version), failure.text()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_get_a_code_that_they_know() {
        let disabled = ErrorCode::TOPIC_DELETION_DISABLED;
        assert_eq!(known(disabled, 2), ErrorCode::INVALID_REQUEST);
        assert_eq!(known(disabled, 3), disabled);
        assert_eq!(known(ErrorCode::NOT_CONTROLLER, 1), ErrorCode::NOT_CONTROLLER);
    }
}
