//! Who pushes which metrics how often, and whether a push may be taken (KIP-714): a pure machine.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use vltava_config::subscription;
use vltava_metadata::{ConfigMap, Image, ResourceType};
use vltava_wire::compression::Compression;
use vltava_wire::messages::PushTelemetryRequest;
use vltava_wire::{ErrorCode, Str, Uuid};

/// How many clients are remembered. Beyond it, whoever was silent longest is forgotten, and is
/// told its subscriptions anew when it pushes; Kafka's bound.
const INSTANCES_MAX: usize = 16_384;

/// How often clients push of which no subscription says how often, in milliseconds.
const INTERVAL_MS: i32 = 300_000;

/// The name in a subscription that stands for every metric.
const EVERY_METRIC: &str = "*";

/// The longest regular expression that chooses clients, compiled, in bytes.
const REGEX_BYTES_MAX: usize = 64 << 10;

/// The codecs that clients may use, the best first.
pub const CODECS: [Compression; 4] =
    [Compression::Zstd, Compression::Lz4, Compression::Gzip, Compression::Snappy];

/// What a client can be chosen by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The name that it gives itself.
    pub id: Str,
    /// The name of its library.
    pub software_name: Str,
    /// That one's version.
    pub software_version: Str,
    /// Where it comes from.
    pub source_address: String,
    /// Its port there.
    pub source_port: u16,
}

/// What a client is told to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The client's id as an instance: its own, or a new one.
    pub instance: Uuid,
    /// Names what follows; another number means that something changed.
    pub subscription: i32,
    /// How often, in milliseconds.
    pub interval_ms: i32,
    /// What the names of the metrics begin with; a single `*` is all of them.
    pub metrics: Vec<Str>,
}

/// A subscription of the cluster's configuration.
#[derive(Clone, Debug)]
struct Subscription {
    metrics: Vec<Str>,
    interval_ms: i32,
    matches: Vec<(String, Regex)>,
}

impl Subscription {
    /// Nothing is made of one that was checked by another build and says what this one cannot read.
    fn of(set: &ConfigMap) -> Option<Self> {
        let text = |name: &str| set.get(name).map(Str::as_str).unwrap_or_default();
        let metrics = text(subscription::METRICS.name());
        let metrics = metrics.split(',').map(str::trim).filter(|name| !name.is_empty());
        let interval = text(subscription::INTERVAL_MS.name()).trim().parse();
        let selectors = subscription::selectors(text(subscription::MATCH.name())).ok()?;
        let compiled = selectors.into_iter().map(|(selector, expression)| {
            let whole = format!("^(?:{expression})$");
            let regex = regex::RegexBuilder::new(&whole).size_limit(REGEX_BYTES_MAX).build();
            regex.map(|regex| (selector.to_owned(), regex))
        });
        Some(Self {
            metrics: metrics.map(Str::from).collect(),
            interval_ms: interval.unwrap_or(INTERVAL_MS),
            matches: compiled.collect::<Result<_, _>>().ok()?,
        })
    }

    fn chooses(&self, instance: Uuid, client: &Client) -> bool {
        self.matches.iter().all(|(selector, regex)| match selector.as_str() {
            "client_id" => regex.is_match(&client.id),
            "client_instance_id" => regex.is_match(&instance.to_string()),
            "client_software_name" => regex.is_match(&client.software_name),
            "client_software_version" => regex.is_match(&client.software_version),
            "client_source_address" => regex.is_match(&client.source_address),
            "client_source_port" => regex.is_match(&client.source_port.to_string()),
            _ => false,
        })
    }
}

/// What is remembered of a client.
#[derive(Clone, Debug)]
struct Instance {
    told: Told,
    /// The generation of the configuration that `told` follows from.
    generation: u64,
    asked_at_ms: Option<u64>,
    pushed_at_ms: Option<u64>,
    is_ending: bool,
    last_error: ErrorCode,
}

impl Instance {
    /// Whether its interval has passed since it last asked or pushed.
    fn is_due(&self, now_ms: u64) -> bool {
        let last = self.asked_at_ms.max(self.pushed_at_ms);
        let interval = u64::try_from(self.told.interval_ms).unwrap_or(0);
        last.is_none_or(|last| now_ms >= last.saturating_add(interval))
    }
}

/// The machine.
#[derive(Debug, Default)]
pub struct Machine {
    subscriptions: BTreeMap<Str, Subscription>,
    generation: u64,
    instances: BTreeMap<Uuid, Instance>,
}

impl Machine {
    /// Takes over the subscriptions of an image.
    pub fn configure(&mut self, image: &Image) {
        let set = image.configs().filter(|(key, _)| key.kind == ResourceType::CLIENT_METRICS);
        let subscriptions =
            set.filter_map(|(key, set)| Some((key.name.clone(), Subscription::of(set)?)));
        self.subscriptions = subscriptions.collect();
        self.generation += 1;
    }

    /// GetTelemetrySubscriptions: what a client is to push. `fresh` becomes the id of one that
    /// has none yet. `now_ms` comes from a monotonic clock.
    ///
    /// # Errors
    /// THROTTLING_QUOTA_EXCEEDED if it asks again before its time without a reason.
    pub fn ask(
        &mut self,
        client: &Client,
        instance: Uuid,
        fresh: Uuid,
        now_ms: u64,
    ) -> Result<Told, ErrorCode> {
        let id = if instance == Uuid::ZERO { fresh } else { instance };
        let instance = self.instance(id, client);
        let has_reason =
            [ErrorCode::UNKNOWN_SUBSCRIPTION_ID, ErrorCode::UNSUPPORTED_COMPRESSION_TYPE]
                .contains(&instance.last_error);
        match instance.is_due(now_ms) {
            true => instance.asked_at_ms = Some(now_ms),
            false if has_reason => {}
            false => return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED),
        }
        instance.last_error = ErrorCode::NONE;
        Ok(instance.told.clone())
    }

    /// PushTelemetry: whether what a client pushes is taken. Returns its codec.
    ///
    /// # Errors
    /// INVALID_REQUEST, THROTTLING_QUOTA_EXCEEDED, UNKNOWN_SUBSCRIPTION_ID,
    /// UNSUPPORTED_COMPRESSION_TYPE, TELEMETRY_TOO_LARGE.
    pub fn push(
        &mut self,
        client: &Client,
        request: &PushTelemetryRequest,
        bytes_max: usize,
        now_ms: u64,
    ) -> Result<Compression, ErrorCode> {
        if request.client_instance_id == Uuid::ZERO {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let instance = self.instance(request.client_instance_id, client);
        let taken = check(instance, request, bytes_max, now_ms);
        instance.last_error = taken.err().unwrap_or(ErrorCode::NONE);
        taken
    }

    fn instance(&mut self, id: Uuid, client: &Client) -> &mut Instance {
        let known = self.instances.get(&id);
        if known.is_none_or(|known| known.generation != self.generation) {
            let told = self.told(id, client);
            if known.is_none() && self.instances.len() >= INSTANCES_MAX {
                self.forget_one();
            }
            let fresh = Instance {
                told: told.clone(),
                generation: self.generation,
                asked_at_ms: None,
                pushed_at_ms: None,
                is_ending: false,
                last_error: ErrorCode::NONE,
            };
            let instance = self.instances.entry(id).or_insert(fresh);
            (instance.told, instance.generation) = (told, self.generation);
        }
        self.instances.get_mut(&id).expect("it was just put there")
    }

    fn forget_one(&mut self) {
        let last = |instance: &Instance| instance.asked_at_ms.max(instance.pushed_at_ms);
        let oldest = self.instances.iter().min_by_key(|(_, instance)| last(instance));
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.instances.remove(&id);
        }
    }

    fn told(&self, id: Uuid, client: &Client) -> Told {
        let chosen: Vec<&Subscription> =
            self.subscriptions.values().filter(|it| it.chooses(id, client)).collect();
        let mut metrics: BTreeSet<&Str> = chosen.iter().flat_map(|it| &it.metrics).collect();
        let every = Str::from_static(EVERY_METRIC);
        if metrics.contains(&every) {
            metrics = BTreeSet::from([&every]);
        }
        let interval_ms = chosen.iter().map(|it| it.interval_ms).min().unwrap_or(INTERVAL_MS);
        let metrics: Vec<Str> = metrics.into_iter().cloned().collect();
        let subscription = fingerprint(id, interval_ms, &metrics);
        Told { instance: id, subscription, interval_ms, metrics }
    }
}

fn check(
    instance: &mut Instance,
    request: &PushTelemetryRequest,
    bytes_max: usize,
    now_ms: u64,
) -> Result<Compression, ErrorCode> {
    if instance.is_ending {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    // Clients choose when the first push after an answer comes, around its time, and when the last.
    let is_first = instance.asked_at_ms > instance.pushed_at_ms;
    let interval = u64::try_from(instance.told.interval_ms).unwrap_or(0);
    let is_due = instance.pushed_at_ms.is_none_or(|at| now_ms >= at.saturating_add(interval));
    if !is_first && !is_due && !request.terminating {
        return Err(ErrorCode::THROTTLING_QUOTA_EXCEEDED);
    }
    instance.pushed_at_ms = Some(now_ms);
    if request.subscription_id != instance.told.subscription {
        return Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID);
    }
    let codec = Compression::from_code(request.compression_type)
        .ok_or(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE)?;
    if request.metrics.len() > bytes_max {
        return Err(ErrorCode::TELEMETRY_TOO_LARGE);
    }
    instance.is_ending = request.terminating;
    Ok(codec)
}

/// A number that is the same on every broker, and another where something else is asked for.
fn fingerprint(id: Uuid, interval_ms: i32, metrics: &[Str]) -> i32 {
    let mut bytes = id.to_bytes().to_vec();
    bytes.extend_from_slice(&interval_ms.to_be_bytes());
    for name in metrics {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
    }
    // FNV-1a.
    let hash = bytes
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use vltava_metadata::Changes;
    use vltava_wire::records::metadata::ConfigRecord;

    use super::*;

    const ME: Uuid = Uuid(7);
    const MAX: usize = 100;

    fn client(id: &str) -> Client {
        Client { id: id.into(), software_name: "librdkafka".into(), ..Client::default() }
    }

    fn machine(subscriptions: &[(&str, &str, &str)]) -> Machine {
        let mut image = Image::new("prague".into());
        for (name, key, value) in subscriptions {
            let record = ConfigRecord {
                resource_type: ResourceType::CLIENT_METRICS.0,
                resource_name: (*name).into(),
                name: (*key).into(),
                value: Some((*value).into()),
            };
            image.apply(&record.into(), &mut Changes::default()).expect("a record that fits");
        }
        let mut machine = Machine::default();
        machine.configure(&image);
        machine
    }

    fn push(told: &Told, metrics: &'static [u8]) -> PushTelemetryRequest {
        PushTelemetryRequest {
            client_instance_id: told.instance,
            subscription_id: told.subscription,
            metrics: bytes::Bytes::from_static(metrics),
            ..PushTelemetryRequest::default()
        }
    }

    #[test]
    fn a_client_is_told_what_all_that_choose_it_ask_for() {
        let mut machine = machine(&[
            ("a", "metrics", "org.apache.kafka.producer.,org.apache.kafka.consumer."),
            ("a", "interval.ms", "60000"),
            ("b", "metrics", "org.apache.kafka.producer."),
            ("b", "interval.ms", "30000"),
            ("b", "match", "client_id=app-.*"),
            ("c", "metrics", "x."),
            ("c", "match", "client_id=app-.*,client_software_name=java"),
        ]);
        let told = machine.ask(&client("app-1"), Uuid::ZERO, ME, 0).expect("told");
        assert_eq!((told.instance, told.interval_ms), (ME, 30_000));
        assert_eq!(told.metrics, ["org.apache.kafka.consumer.", "org.apache.kafka.producer."]);
        let other = machine.ask(&client("other"), Uuid(8), ME, 0).expect("told");
        assert_eq!((other.instance, other.interval_ms), (Uuid(8), 60_000));
        assert_ne!(other.subscription, told.subscription);
    }

    #[test]
    fn a_star_asks_for_everything_and_nothing_asks_for_nothing() {
        let mut every = machine(&[("a", "metrics", "x.,*")]);
        assert_eq!(every.ask(&client(""), ME, ME, 0).expect("told").metrics, ["*"]);
        let told = machine(&[]).ask(&client(""), ME, ME, 0).expect("told");
        assert_eq!((told.metrics.len(), told.interval_ms), (0, 300_000));
    }

    #[test]
    fn who_comes_too_early_is_sent_away() {
        let mut machine = machine(&[("a", "interval.ms", "1000")]);
        let me = client("");
        let told = machine.ask(&me, ME, ME, 0).expect("told");
        let early = ErrorCode::THROTTLING_QUOTA_EXCEEDED;
        assert_eq!(machine.ask(&me, ME, ME, 999), Err(early));
        assert!(machine.push(&me, &push(&told, b"m"), MAX, 500).is_ok(), "the first may");
        assert_eq!(machine.push(&me, &push(&told, b"m"), MAX, 1_400), Err(early));
        assert!(machine.push(&me, &push(&told, b"m"), MAX, 1_500).is_ok());
        let last = PushTelemetryRequest { terminating: true, ..push(&told, b"m") };
        assert!(machine.push(&me, &last, MAX, 1_600).is_ok(), "so may the last");
        assert_eq!(machine.push(&me, &last, MAX, 9_000), Err(ErrorCode::INVALID_REQUEST));
    }

    #[test]
    fn a_push_that_is_not_what_was_asked_for_is_refused() {
        let me = client("");
        let refused = |change: fn(&mut PushTelemetryRequest)| {
            let mut machine = machine(&[]);
            let told = machine.ask(&me, ME, ME, 0).expect("told");
            let mut request = push(&told, b"m");
            change(&mut request);
            machine.push(&me, &request, MAX, 0).err()
        };
        assert_eq!(refused(|_| {}), None);
        let zero = refused(|it| it.client_instance_id = Uuid::ZERO);
        assert_eq!(zero, Some(ErrorCode::INVALID_REQUEST));
        let other = refused(|it| it.subscription_id ^= 1);
        assert_eq!(other, Some(ErrorCode::UNKNOWN_SUBSCRIPTION_ID));
        let codec = refused(|it| it.compression_type = 9);
        assert_eq!(codec, Some(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE));
        let large = refused(|it| it.metrics = vec![0; MAX + 1].into());
        assert_eq!(large, Some(ErrorCode::TELEMETRY_TOO_LARGE));
    }

    #[test]
    fn a_changed_subscription_is_noticed_with_the_next_push() {
        let mut machine = machine(&[("a", "metrics", "x.")]);
        let me = client("");
        let told = machine.ask(&me, ME, ME, 0).expect("told");
        machine.configure(&Image::new("prague".into()));
        let refused = machine.push(&me, &push(&told, b"m"), MAX, 0);
        assert_eq!(refused, Err(ErrorCode::UNKNOWN_SUBSCRIPTION_ID));
        let told = machine.ask(&me, ME, ME, 1).expect("it has a reason to ask at once");
        assert!(told.metrics.is_empty());
    }

    #[test]
    fn so_many_clients_are_remembered_and_no_more() {
        let mut machine = machine(&[]);
        for number in 1..=INSTANCES_MAX as u128 + 5 {
            machine.ask(&client(""), Uuid(number), ME, number as u64).expect("told");
        }
        assert_eq!(machine.instances.len(), INSTANCES_MAX);
        assert!(!machine.instances.contains_key(&Uuid(1)), "the oldest went");
    }
}
