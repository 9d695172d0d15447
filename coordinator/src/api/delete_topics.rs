//! DeleteTopics (20).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::delete_topics::DeletableTopicResult;
use vltava_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<DeleteTopicsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.delete_topics(request),
        |request, failure| {
            let names =
                request.topic_names.iter().map(|name| (Some(name.clone()), Default::default()));
            let states = request.topics.iter().map(|state| (state.name.clone(), state.topic_id));
            DeleteTopicsResponse {
                responses: states
                    .chain(names)
                    .map(|(name, topic_id)| DeletableTopicResult {
                        name,
                        topic_id,
                        error_code: failure.code,
                        error_message: failure.text(),
                    })
                    .collect(),
                ..DeleteTopicsResponse::default()
            }
        },
    )
}
