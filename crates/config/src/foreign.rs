//! Keys that the table lacks: those that Kafka has and we can do without, and unknown ones.

use crate::keys;
use crate::nearest::nearest;
use crate::topic;

mod names;

/// What becomes of a key that the table lacks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// It changes nothing, and the sentence says why.
    Accepted(String),
    /// The node must not start; the sentence says what to do.
    Refused(String),
}

/// Decides about a node's key that the table lacks.
pub(crate) fn judge(key: &str, text: &str) -> Foreign {
    if let Some((_, harmless, what)) = names::REFUSED.iter().find(|(name, ..)| *name == key) {
        return if text.trim().eq_ignore_ascii_case(harmless) {
            Foreign::Accepted("it asks for nothing".to_owned())
        } else {
            Foreign::Refused((*what).to_owned())
        };
    }
    if let Some(why) = accepted(key) {
        return Foreign::Accepted(why.to_owned());
    }
    // `listener.name.NAME.KEY` and, for SASL, `listener.name.NAME.MECHANISM.KEY`.
    if let Some((_, inner)) =
        key.strip_prefix("listener.name.").and_then(|rest| rest.split_once('.'))
    {
        let suffixes = inner.match_indices('.').map(|(at, _)| &inner[at + 1..]);
        if std::iter::once(inner)
            .chain(suffixes)
            .any(|suffix| keys::find(suffix).is_some() || accepted(suffix).is_some())
        {
            return Foreign::Accepted(
                "settings of a single listener change nothing yet; set the key without its prefix"
                    .to_owned(),
            );
        }
    }
    Foreign::Refused(unknown(key))
}

/// Why a known key of Kafka changes nothing here.
pub(crate) fn accepted(key: &str) -> Option<&'static str> {
    names::ACCEPTED.iter().find(|(_, names)| names.contains(&key)).map(|(why, _)| *why)
}

/// The sentence about a key that nobody knows.
pub(crate) fn unknown(key: &str) -> String {
    if topic::keys::find(key).is_some() {
        let broker = topic::keys::find(key).and_then(|spec| spec.fallbacks.first());
        return match broker {
            Some(fallback) => {
                format!("is a topic's key; the brokers' default is `{}`", fallback.key)
            }
            None => "is a topic's key; set it on the topic".to_owned(),
        };
    }
    match nearest(key, keys::all().map(|spec| spec.name).chain(accepted_names())) {
        Some(name) => format!("is unknown; did you mean `{name}`?"),
        None => "is unknown; docs/configuration.md lists every key".to_owned(),
    }
}

/// The sentence about a topic's key that nobody knows.
pub(crate) fn unknown_topic_key(key: &str) -> String {
    if names::TOPIC_ACCEPTED.iter().any(|(name, _)| *name == key) {
        return "there is no tiered storage; take it out".to_owned();
    }
    let by_broker_key =
        topic::keys::all().find(|spec| spec.fallbacks.iter().any(|from| from.key == key));
    if let Some(spec) = by_broker_key {
        return format!("is the brokers' key; a topic's is `{}`", spec.name);
    }
    match nearest(key, topic::keys::all().map(|spec| spec.name)) {
        Some(name) => format!("is unknown; did you mean `{name}`?"),
        None => "is unknown; docs/configuration.md lists every key of a topic".to_owned(),
    }
}

/// Whether a topic may set this key though it changes nothing.
pub(crate) fn is_harmless_for_topics(key: &str, text: &str) -> bool {
    names::TOPIC_ACCEPTED
        .iter()
        .any(|(name, only)| *name == key && only.is_none_or(|only| only == text.trim()))
}

/// Every key of Kafka that is accepted without effect, by the reason.
pub(crate) fn accepted_groups() -> &'static [(&'static str, &'static [&'static str])] {
    names::ACCEPTED
}

/// Every key of Kafka that is refused unless it asks for nothing, with what to do.
pub(crate) fn refused_names() -> impl Iterator<Item = (&'static str, &'static str)> {
    names::REFUSED.iter().map(|(name, _, what)| (*name, *what))
}

fn accepted_names() -> impl Iterator<Item = &'static str> {
    names::ACCEPTED.iter().flat_map(|(_, names)| names.iter().copied())
}
