//! Configuration as an image has it: what is set at run time, and the answer to DescribeConfigs
//! (KIP-226), which brokers and coordinators give alike.

use std::collections::{BTreeMap, HashMap, HashSet};

use vltava_config::describe::{self, Described};
use vltava_config::{Notice, Role, Values, topic};
use vltava_wire::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use vltava_wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use vltava_wire::{ErrorCode, NodeId, Str};

use crate::image::{ConfigMap, ConfigResource, Image, ResourceType};

/// A node's configuration with what an image sets for all nodes and for this one, and what of that
/// cannot be used.
pub fn dynamic_values(values: &Values, node: NodeId, image: &Image) -> (Values, Vec<Notice>) {
    let (cluster, own) = (image.cluster_config(), image.broker_config(node));
    values.with_dynamic(pairs(&cluster), pairs(&own))
}

/// What is set, as texts.
pub fn pairs(config: &ConfigMap) -> impl Iterator<Item = (&str, &str)> {
    config.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// The node that describes configurations.
#[derive(Clone, Copy, Debug)]
pub struct Describer<'a> {
    /// The cluster as the node knows it.
    pub image: &'a Image,
    /// The node.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// Its configuration, with what was set at run time.
    pub values: &'a Values,
    /// Its loggers with their levels (KIP-412).
    pub loggers: fn() -> Vec<(String, &'static str)>,
}

/// The number of the source of log levels: DYNAMIC_BROKER_LOGGER_CONFIG.
const LOGGER_SOURCE: i8 = 6;

/// What the descriptions of one answer may take, in bytes: those of ten thousand topics fit, and
/// whoever asks for groups that nobody knows is stopped.
const ANSWER_MAX: usize = 128 << 20;

/// What an entry of an answer takes beside its texts, in bytes.
const ENTRY_BYTES: usize = 64;

/// What is told of one resource: its keys, or why not.
type Outcome = Result<Vec<Described>, (ErrorCode, String)>;

impl Describer<'_> {
    /// Answers from the table of keys, the node's own configuration, and the image. A resource that
    /// is named more than once is described once, with all the keys that are asked for.
    pub fn answer(&self, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
        self.answer_within(request, ANSWER_MAX)
    }

    /// As [`answer`](Self::answer), describing resources until that takes so many bytes.
    fn answer_within(
        &self,
        request: &DescribeConfigsRequest,
        mut left: usize,
    ) -> DescribeConfigsResponse {
        let describe = |asked: Asked<'_>| {
            let resource = asked.resource;
            if left == 0 {
                let message = "too many configurations are asked for at once".to_owned();
                return answer(request, &asked, Err((ErrorCode::INVALID_REQUEST, message)));
            }
            let result = match ResourceType(resource.resource_type) {
                ResourceType::BROKER_LOGGER => self.log_levels(&asked),
                _ => answer(request, &asked, self.describe(resource)),
            };
            left = left.saturating_sub(size(&result));
            result
        };
        let results = asked(request).into_iter().map(describe).collect();
        DescribeConfigsResponse { throttle_time_ms: 0, results }
    }

    fn describe(&self, resource: &DescribeConfigsResource) -> Outcome {
        let name = resource.resource_name.as_str();
        match ResourceType(resource.resource_type) {
            ResourceType::TOPIC => match self.image.topic(name) {
                Some(_) => Ok(describe::topic(self.values, &self.own(resource))),
                None => match topic::check_name(name) {
                    // Kafka has nothing to say of it, either.
                    Ok(()) => Err((ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, String::new())),
                    Err(what) => Err((ErrorCode::INVALID_TOPIC_EXCEPTION, what)),
                },
            },
            ResourceType::BROKER if name.is_empty() => Ok(describe::cluster_default(self.values)),
            ResourceType::BROKER if name.parse() == Ok(self.node.get()) => {
                Ok(describe::node(self.values, self.role))
            }
            ResourceType::BROKER => Err((
                ErrorCode::INVALID_REQUEST,
                format!("this is node {}; {name:?} is described by itself", self.node),
            )),
            ResourceType::GROUP | ResourceType::CLIENT_METRICS if name.is_empty() => {
                let message = "the resource has no name".to_owned();
                Err((ErrorCode::INVALID_REQUEST, message))
            }
            ResourceType::GROUP => Ok(describe::group(self.values, &self.own(resource))),
            ResourceType::CLIENT_METRICS => Ok(describe::subscription(&self.own(resource))),
            ResourceType(kind) => Err((
                ErrorCode::INVALID_REQUEST,
                format!("resources of type {kind} have no configuration here"),
            )),
        }
    }

    fn log_levels(&self, asked: &Asked<'_>) -> DescribeConfigsResult {
        let resource = asked.resource;
        let name = &resource.resource_name;
        let base = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: name.clone(),
            ..Default::default()
        };
        let refused = |message: String| DescribeConfigsResult {
            error_code: ErrorCode::INVALID_REQUEST,
            error_message: Some(message.into()),
            ..base.clone()
        };
        if name.is_empty() {
            return refused("Broker id must not be empty".to_owned());
        }
        if name.parse() != Ok(self.node.get()) {
            let node = self.node;
            return refused(format!("Unexpected broker id, expected {node} but received {name}"));
        }
        let level = |(logger, level): (String, &'static str)| DescribeConfigsResourceResult {
            name: logger.into(),
            value: Some(Str::from_static(level)),
            config_source: LOGGER_SOURCE,
            ..Default::default()
        };
        let configs = (self.loggers)()
            .into_iter()
            .filter(|(logger, _)| asked.has(logger))
            .map(level)
            .collect();
        DescribeConfigsResult { configs, ..base }
    }

    /// What the resource sets itself.
    fn own(&self, resource: &DescribeConfigsResource) -> BTreeMap<String, String> {
        let key = ConfigResource {
            kind: ResourceType(resource.resource_type),
            name: resource.resource_name.clone(),
        };
        let set = self.image.config(&key).cloned().unwrap_or_default();
        pairs(&set).map(|(key, text)| (key.into(), text.into())).collect()
    }
}

/// What is asked of one resource.
struct Asked<'a> {
    resource: &'a DescribeConfigsResource,
    /// The keys; `None` for all of them.
    keys: Option<HashSet<&'a str>>,
}

impl<'a> Asked<'a> {
    /// Asks for more keys: no list and an empty one both mean all of them.
    fn add(&mut self, keys: Option<&'a [Str]>) {
        let keys = keys.unwrap_or_default();
        match &mut self.keys {
            Some(_) if keys.is_empty() => self.keys = None,
            Some(all) => all.extend(keys.iter().map(Str::as_str)),
            None => {}
        }
    }

    fn has(&self, key: &str) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.contains(key))
    }
}

/// What is asked, by resource.
fn asked(request: &DescribeConfigsRequest) -> Vec<Asked<'_>> {
    let mut all: Vec<Asked<'_>> = Vec::new();
    let mut places = HashMap::new();
    for resource in &request.resources {
        let name = (resource.resource_type, resource.resource_name.as_str());
        let place = *places.entry(name).or_insert(all.len());
        if place == all.len() {
            all.push(Asked { resource, keys: Some(HashSet::new()) });
        }
        all[place].add(resource.configuration_keys.as_deref());
    }
    all
}

/// About how many bytes a result takes, in memory and on its way out.
fn size(result: &DescribeConfigsResult) -> usize {
    let text = |text: &Option<Str>| text.as_ref().map_or(0, |text| text.as_bytes().len());
    let synonym = |it: &DescribeConfigsSynonym| ENTRY_BYTES + text(&it.value);
    let config = |it: &DescribeConfigsResourceResult| {
        let synonyms: usize = it.synonyms.iter().map(synonym).sum();
        2 * ENTRY_BYTES + text(&it.value) + text(&it.documentation) + synonyms
    };
    2 * ENTRY_BYTES + result.configs.iter().map(config).sum::<usize>()
}

fn answer(
    request: &DescribeConfigsRequest,
    asked: &Asked<'_>,
    outcome: Outcome,
) -> DescribeConfigsResult {
    let resource = asked.resource;
    let base = DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        ..Default::default()
    };
    match outcome {
        Err((error_code, message)) => {
            DescribeConfigsResult { error_code, error_message: Some(message.into()), ..base }
        }
        Ok(described) => {
            let is_wanted = |described: &&Described| asked.has(described.spec.name);
            let configs = described
                .iter()
                .filter(is_wanted)
                .map(|described| entry(request, described))
                .collect();
            DescribeConfigsResult { error_message: None, configs, ..base }
        }
    }
}

fn entry(request: &DescribeConfigsRequest, described: &Described) -> DescribeConfigsResourceResult {
    let text = |value: &Option<String>| value.as_deref().map(Str::from);
    let synonyms = described.synonyms.iter().filter(|_| request.include_synonyms);
    let help = request.include_documentation.then(|| Str::from_static(described.spec.help));
    DescribeConfigsResourceResult {
        name: Str::from_static(described.spec.name),
        value: text(&described.value),
        read_only: described.read_only,
        config_source: described.source.code(),
        is_sensitive: described.sensitive,
        synonyms: synonyms
            .map(|synonym| DescribeConfigsSynonym {
                name: Str::from_static(synonym.name),
                value: text(&synonym.value),
                source: synonym.source.code(),
            })
            .collect(),
        config_type: described.spec.kind.code(),
        documentation: help,
    }
}

#[cfg(test)]
mod tests {
    use vltava_wire::Uuid;
    use vltava_wire::records::metadata::{ConfigRecord, TopicRecord};

    use super::*;
    use crate::{Changes, MetadataRecord};

    fn image() -> Image {
        let mut image = Image::new("prague".into());
        let topic = TopicRecord { name: "orders".into(), topic_id: Uuid(7) };
        let config = |kind: ResourceType, on: &str, key: &str, value: &str| ConfigRecord {
            resource_type: kind.0,
            resource_name: on.into(),
            name: key.into(),
            value: Some(value.into()),
        };
        let records = [
            MetadataRecord::from(topic),
            config(ResourceType::TOPIC, "orders", "retention.ms", "1000").into(),
            config(ResourceType::BROKER, "", "message.max.bytes", "2000").into(),
            config(ResourceType::BROKER, "1", "message.max.bytes", "3000").into(),
            config(ResourceType::GROUP, "g", "share.auto.offset.reset", "earliest").into(),
        ];
        for record in &records {
            image.apply(record, &mut Changes::default()).expect("a record that fits");
        }
        image
    }

    fn answered(
        resources: Vec<DescribeConfigsResource>,
        most: usize,
    ) -> Vec<DescribeConfigsResult> {
        let (image, values) = (image(), Values::from_pairs([("node.id", "1")]).expect("values"));
        let (values, _) = dynamic_values(&values, NodeId(1), &image);
        let (node, role) = (NodeId(1), Role::Broker);
        let loggers = || vec![("root".to_owned(), "INFO")];
        let describer = Describer { image: &image, node, role, values: &values, loggers };
        let request = DescribeConfigsRequest { resources, ..Default::default() };
        describer.answer_within(&request, most).results
    }

    fn resource(kind: ResourceType, name: &str, keys: &[&str]) -> DescribeConfigsResource {
        DescribeConfigsResource {
            resource_type: kind.0,
            resource_name: name.into(),
            configuration_keys: Some(keys.iter().copied().map(Str::from).collect()),
        }
    }

    fn ask(kind: ResourceType, name: &str, key: &str) -> (ErrorCode, Vec<(Option<Str>, i8)>) {
        let keys: Vec<&str> = Some(key).filter(|key| !key.is_empty()).into_iter().collect();
        let result = answered(vec![resource(kind, name, &keys)], ANSWER_MAX).remove(0);
        let told = |it: DescribeConfigsResourceResult| (it.value, it.config_source);
        (result.error_code, result.configs.into_iter().map(told).collect())
    }

    #[test]
    fn what_is_set_nearest_counts() {
        let (topic, broker) = (ResourceType::TOPIC, ResourceType::BROKER);
        let text = |text: &str| Some(Str::from(text));
        let ok = |value: &str, source| (ErrorCode::NONE, vec![(text(value), source)]);
        assert_eq!(ask(topic, "orders", "retention.ms"), ok("1000", 1));
        assert_eq!(ask(broker, "1", "message.max.bytes"), ok("3000", 2));
        assert_eq!(ask(broker, "", "message.max.bytes"), ok("2000", 3));
        assert_eq!(ask(broker, "1", "num.partitions"), ok("1", 5));
        let group = ResourceType::GROUP;
        assert_eq!(ask(group, "g", "share.auto.offset.reset"), ok("earliest", 8));
        assert_eq!(ask(group, "h", "share.auto.offset.reset"), ok("latest", 5));
        assert_eq!(ask(group, "g", "share.session.timeout.ms"), ok("45000", 5));
        let logger = ResourceType::BROKER_LOGGER;
        assert_eq!(ask(logger, "1", "root"), ok("INFO", 6));
        assert_eq!(ask(logger, "1", "tokio").1, []);
        assert_eq!(ask(logger, "2", "root").0, ErrorCode::INVALID_REQUEST);
        assert!(ask(broker, "1", "").1.len() > 50, "an empty list of keys means all of them");
    }

    #[test]
    fn what_is_not_there_is_refused() {
        let code = |kind, name| ask(kind, name, "x").0;
        assert_eq!(code(ResourceType::TOPIC, "none"), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        assert_eq!(code(ResourceType::TOPIC, "a/b"), ErrorCode::INVALID_TOPIC_EXCEPTION);
        assert_eq!(code(ResourceType::BROKER, "2"), ErrorCode::INVALID_REQUEST);
        assert_eq!(code(ResourceType(99), "x"), ErrorCode::INVALID_REQUEST);
        assert_eq!(code(ResourceType::GROUP, "g"), ErrorCode::NONE);
    }

    #[test]
    fn what_is_named_twice_is_described_once_with_all_keys() {
        let broker = |keys: &[&str]| resource(ResourceType::BROKER, "1", keys);
        let topic = resource(ResourceType::TOPIC, "orders", &["retention.ms"]);
        let some = vec![broker(&["num.partitions"]), topic, broker(&["log.dirs", "log.dirs"])];
        let results = answered(some.clone(), ANSWER_MAX);
        let counts: Vec<_> = results.iter().map(|result| result.configs.len()).collect();
        assert_eq!(counts, [2, 1]);
        let all = [some, vec![broker(&[])], vec![broker(&["num.partitions"])]].concat();
        let results = answered(all, ANSWER_MAX);
        assert_eq!(results.len(), 2);
        assert!(results[0].configs.len() > 50, "no list asks for all of them");
    }

    #[test]
    fn an_answer_ends_where_it_takes_too_much() {
        let group = |number: i32| resource(ResourceType::GROUP, &number.to_string(), &[]);
        let results = answered((0..10).map(group).collect(), 4_000);
        let is_described: Vec<_> = results.iter().map(|it| it.error_code.is_ok()).collect();
        assert_eq!(is_described.len(), 10);
        assert!(is_described[0] && !is_described[9], "{is_described:?}");
        assert!(is_described.is_sorted_by(|before, after| before >= after), "{is_described:?}");
        assert_eq!(results[9].error_code, ErrorCode::INVALID_REQUEST);
    }
}
