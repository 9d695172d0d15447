//! The resource BROKER_LOGGER: log levels that are described and altered on the node itself, and
//! known to no other (KIP-412).

use vltava_net::loggers;
use vltava_wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use vltava_wire::{ErrorCode, NodeId, Str};

use crate::named::{RESOURCE_DOUBLED, doubled};

/// The number of the kind of resource.
pub const BROKER_LOGGER: i8 = 8;

type Refused = (ErrorCode, String);

fn invalid<T>(message: impl Into<String>) -> Result<T, Refused> {
    Err((ErrorCode::INVALID_REQUEST, message.into()))
}

/// Sets levels on this node, or only checks them, and answers.
pub fn alter(
    node: NodeId,
    resource: &AlterConfigsResource,
    validate_only: bool,
) -> AlterConfigsResourceResponse {
    let checked = changes(node, resource);
    let (error_code, error_message) = match &checked {
        Ok(_) => (ErrorCode::NONE, None),
        Err((code, message)) => (*code, Some(message.as_str().into())),
    };
    if let Ok(changes) = checked
        && !validate_only
    {
        loggers::set(&changes);
        tracing::info!(?changes, "log levels were set");
    }
    AlterConfigsResourceResponse {
        error_code,
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
    }
}

/// As [`alter`], for all resources of a request; one that is named twice is not altered.
pub fn alter_all(
    node: NodeId,
    resources: &[AlterConfigsResource],
    validate_only: bool,
) -> Vec<AlterConfigsResourceResponse> {
    let twice = doubled(resources.iter().map(|resource| resource.resource_name.as_str()));
    let answer = |resource: &AlterConfigsResource| {
        if !twice.contains(resource.resource_name.as_str()) {
            return alter(node, resource, validate_only);
        }
        AlterConfigsResourceResponse {
            error_code: ErrorCode::INVALID_REQUEST,
            error_message: Some(Str::from_static(RESOURCE_DOUBLED)),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        }
    };
    resources.iter().map(answer).collect()
}

type Changes<'a> = Vec<(&'a str, Option<&'a str>)>;

fn changes(node: NodeId, resource: &AlterConfigsResource) -> Result<Changes<'_>, Refused> {
    let name = &resource.resource_name;
    match name.parse::<i32>() {
        Err(_) => return invalid(format!("Node id must be an integer, but it is: {name}")),
        Ok(id) if id != node.get() => {
            return invalid(format!("Unexpected node id. Expected {node}, but received {name}"));
        }
        Ok(_) => {}
    }
    resource.configs.iter().map(change).collect()
}

fn change(config: &AlterableConfig) -> Result<(&str, Option<&str>), Refused> {
    let logger = config.name.as_str();
    let not_allowed =
        |what: &str| invalid(format!("{what} is not allowed for the BROKER_LOGGER resource"));
    if let 0 | 1 = config.config_operation
        && !loggers::exists(logger)
    {
        return Err((ErrorCode::INVALID_CONFIG, format!("Logger {logger} does not exist!")));
    }
    let level = config.value.as_deref().unwrap_or_default();
    match config.config_operation {
        0 if loggers::LEVELS.iter().any(|(name, _)| *name == level) => Ok((logger, Some(level))),
        0 => {
            let levels: Vec<_> = loggers::LEVELS.iter().map(|(name, _)| *name).collect();
            let message = format!(
                "Cannot set the log level of {logger} to {level} as it is not a supported log \
                 level. Valid log levels are {}",
                levels.join(", ")
            );
            Err((ErrorCode::INVALID_CONFIG, message))
        }
        1 if logger == loggers::ROOT => {
            invalid("Removing the log level of the root logger is not allowed")
        }
        1 => Ok((logger, None)),
        2 => not_allowed("APPEND operation"),
        3 => not_allowed("SUBTRACT operation"),
        other => not_allowed(&format!("Unknown operation type {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_logger_no_level_or_no_operation_is_refused() {
        let code = |node: &str, logger: &str, operation, level: &str| {
            let config = AlterableConfig {
                name: logger.into(),
                config_operation: operation,
                value: Some(level.into()),
            };
            let resource = AlterConfigsResource {
                resource_type: BROKER_LOGGER,
                resource_name: node.into(),
                configs: vec![config],
            };
            alter(NodeId(1), &resource, true).error_code
        };
        let (set, delete, append, subtract) = (0, 1, 2, 3);
        let table = [
            ("1", "vltava_broker", set, "DEBUG", ErrorCode::NONE),
            ("1", "root", set, "FATAL", ErrorCode::NONE),
            ("1", "vltava_broker.txn", delete, "", ErrorCode::NONE),
            ("1", "root", delete, "", ErrorCode::INVALID_REQUEST),
            ("1", "kafka.server.KafkaApis", set, "DEBUG", ErrorCode::INVALID_CONFIG),
            ("1", "kafka.server.KafkaApis", delete, "", ErrorCode::INVALID_CONFIG),
            ("1", "vltava_broker", set, "debug", ErrorCode::INVALID_CONFIG),
            ("1", "vltava_broker", append, "DEBUG", ErrorCode::INVALID_REQUEST),
            ("1", "vltava_broker", subtract, "DEBUG", ErrorCode::INVALID_REQUEST),
            ("1", "vltava_broker", 9, "DEBUG", ErrorCode::INVALID_REQUEST),
            ("2", "vltava_broker", set, "DEBUG", ErrorCode::INVALID_REQUEST),
            ("", "vltava_broker", set, "DEBUG", ErrorCode::INVALID_REQUEST),
        ];
        for (node, logger, operation, level, expected) in table {
            assert_eq!(code(node, logger, operation, level), expected, "{node} {logger} {level}");
        }
    }

    #[test]
    fn a_node_that_is_named_twice_is_not_altered() {
        let config = AlterableConfig {
            name: "vltava_broker".into(),
            config_operation: 0,
            value: Some("DEBUG".into()),
        };
        let resource = AlterConfigsResource {
            resource_type: BROKER_LOGGER,
            resource_name: "1".into(),
            configs: vec![config],
        };
        let codes = |resources: &[AlterConfigsResource]| -> Vec<_> {
            let answers = alter_all(NodeId(1), resources, true).into_iter();
            answers.map(|answer| answer.error_code).collect()
        };
        assert_eq!(codes(std::slice::from_ref(&resource)), [ErrorCode::NONE]);
        assert_eq!(codes(&[resource.clone(), resource]), [ErrorCode::INVALID_REQUEST; 2]);
    }
}
