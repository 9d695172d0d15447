//! CreateTopics (19).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::create_topics::CreatableTopicResult;
use vltava_wire::messages::{CreateTopicsRequest, CreateTopicsResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<CreateTopicsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.create_topics(request),
        |request, failure| CreateTopicsResponse {
            topics: request
                .topics
                .iter()
                .map(|topic| CreatableTopicResult {
                    name: topic.name.clone(),
                    error_code: failure.code,
                    error_message: failure.text(),
                    ..CreatableTopicResult::default()
                })
                .collect(),
            ..CreateTopicsResponse::default()
        },
    )
}
