//! DeleteTopics (20).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::ErrorCode;
use vltava_wire::messages::delete_topics::DeletableTopicResult;
use vltava_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

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
        move |request, failure| {
            let names =
                request.topic_names.iter().map(|name| (Some(name.clone()), Default::default()));
            let states = request.topics.iter().map(|state| (state.name.clone(), state.topic_id));
            DeleteTopicsResponse {
                responses: states
                    .chain(names)
                    .map(|(name, topic_id)| DeletableTopicResult {
                        name,
                        topic_id,
                        error_code: known(failure.code, version),
                        error_message: failure.text(),
                    })
                    .collect(),
                ..DeleteTopicsResponse::default()
            }
        },
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
