//! CreatePartitions (37).

use std::sync::Arc;

use vltava_net::Reply;
use vltava_wire::messages::create_partitions::CreatePartitionsTopicResult;
use vltava_wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use super::{Call, Context};

pub(super) fn handle(context: &Arc<Context>, call: Call) -> Reply {
    let request = match call.decode::<CreatePartitionsRequest>() {
        Ok(request) => request,
        Err(close) => return close.into(),
    };
    context.operate(
        call,
        request,
        |request, controller, _| controller.create_partitions(request),
        |request, failure| CreatePartitionsResponse {
            results: request
                .topics
                .iter()
                .map(|topic| CreatePartitionsTopicResult {
                    name: topic.name.clone(),
                    error_code: failure.code,
                    error_message: failure.text(),
                })
                .collect(),
            ..CreatePartitionsResponse::default()
        },
    )
}
