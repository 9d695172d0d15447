//! What is known about one configuration key: a row of the table.

use std::fmt;

use crate::value::Value;

/// The type of a key's value, as Kafka's tools name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`, in any case.
    Boolean,
    /// Text.
    String,
    /// A 32-bit integer.
    Int,
    /// A 16-bit integer.
    Short,
    /// A 64-bit integer.
    Long,
    /// A floating-point number.
    Double,
    /// Texts, separated by commas.
    List,
    /// Text that is never shown.
    Password,
}

impl Kind {
    /// The number that stands for this type in an answer to DescribeConfigs (KIP-226).
    pub const fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Password => 9,
        }
    }

    /// The type's name in the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Int => "int",
            Self::Short => "short",
            Self::Long => "long",
            Self::Double => "double",
            Self::List => "list",
            Self::Password => "password",
        }
    }
}

/// Which values of a key's type are allowed.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    /// Whatever the type holds.
    Any,
    /// An integer of at least this.
    AtLeast(i64),
    /// An integer from the first to the second, both included.
    Within(i64, i64),
    /// An integer from the first to the second, or the third, which stands for a default.
    WithinOr(i64, i64, i64),
    /// A floating-point number from the first to the second, both included.
    Fraction(f64, f64),
    /// One of these texts; for a list, each element is.
    OneOf(&'static [&'static str]),
    /// What the function accepts; its error says what is wrong, the text says what is allowed.
    Form(fn(&str) -> Result<(), String>, &'static str),
}

/// Which nodes read a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Brokers alone.
    Broker,
    /// Coordinators (Kafka's controllers) alone.
    Coordinator,
    /// Brokers and coordinators.
    Node,
    /// A topic's own configuration.
    Topic,
    /// A group's own configuration.
    Group,
    /// A subscription to the metrics of clients.
    Subscription,
}

impl Scope {
    /// Whether a node with these roles reads the key.
    pub const fn is_read_by(self, broker: bool, coordinator: bool) -> bool {
        match self {
            Self::Broker => broker,
            Self::Coordinator => coordinator,
            Self::Node => broker || coordinator,
            Self::Topic | Self::Group | Self::Subscription => false,
        }
    }
}

/// How a key may change while the cluster runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Only by a restart.
    ReadOnly,
    /// For each broker by itself.
    PerBroker,
    /// For all brokers at once, or for one.
    ClusterWide,
}

impl Update {
    /// The mode's name in the reference.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::PerBroker => "per-broker",
            Self::ClusterWide => "cluster-wide",
        }
    }
}

/// How much a key matters, in Kafka's three steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// Every cluster should think about it.
    High,
    /// Some clusters should.
    Medium,
    /// Few ever need it.
    Low,
}

/// A key that gives the value where another one is not set.
#[derive(Debug, Clone, Copy)]
pub struct Fallback {
    /// The other key's name.
    pub key: &'static str,
    /// What its integer is multiplied by: 60,000 from minutes to milliseconds.
    pub times: i64,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Kafka's name for the key.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// Whether "not set" is a value.
    pub nullable: bool,
    /// The default as it would be written in a file; `None` where there is none.
    pub default: Option<&'static str>,
    /// Which values are allowed.
    pub check: Check,
    /// Who reads it.
    pub scope: Scope,
    /// How it may change at run time.
    pub update: Update,
    /// How much it matters.
    pub importance: Importance,
    /// Which keys stand in for it while it is not set, the nearest first.
    pub fallbacks: &'static [Fallback],
    /// What it does, in a sentence or two, with its unit.
    pub help: &'static str,
}

impl Spec {
    /// Whether the value must never be shown.
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.kind, Kind::Password)
    }

    /// Reads a value as a file would carry it.
    ///
    /// # Errors
    /// [`BadValue`] if the text is not of the key's type, or not among the allowed values.
    pub fn parse(&self, text: &str) -> Result<Value, BadValue> {
        let text = text.trim();
        if text.is_empty() && self.nullable {
            return Ok(Value::Null);
        }
        let value = Value::parse(self.kind, text).ok_or_else(|| self.bad(None))?;
        match self.check {
            Check::Form(check, _) => check(text).map_err(|why| self.bad(Some(why)))?,
            _ if self.admits(&value) => {}
            _ => return Err(self.bad(None)),
        }
        Ok(value)
    }

    /// The default as a value.
    pub fn default_value(&self) -> Value {
        match self.default {
            None => Value::Null,
            Some(text) => {
                Value::parse(self.kind, text).expect("a test parses every default of the table")
            }
        }
    }

    /// What the key allows, for a person: `an integer of at least 1`.
    pub fn allowed(&self) -> String {
        let noun = match self.kind {
            Kind::Boolean => return "true or false".to_owned(),
            Kind::Int | Kind::Short | Kind::Long => "an integer",
            Kind::Double => "a number",
            Kind::String | Kind::Password => "text",
            Kind::List => "a list separated by commas",
        };
        match self.check {
            Check::Any => match self.kind {
                Kind::Int => format!("{noun} from {} to {}", i32::MIN, i32::MAX),
                Kind::Short => format!("{noun} from {} to {}", i16::MIN, i16::MAX),
                _ => noun.to_owned(),
            },
            Check::AtLeast(least) => match self.kind {
                Kind::Int => format!("{noun} from {least} to {}", i32::MAX),
                Kind::Short => format!("{noun} from {least} to {}", i16::MAX),
                _ => format!("{noun} of at least {least}"),
            },
            Check::Within(low, high) => format!("{noun} from {low} to {high}"),
            Check::WithinOr(low, high, other) => format!("{noun} from {low} to {high}, or {other}"),
            Check::Fraction(low, high) => format!("{noun} from {low} to {high}"),
            Check::OneOf(names) if self.kind == Kind::List => {
                format!("a list of any of {}", names.join(", "))
            }
            Check::OneOf(names) => format!("one of {}", names.join(", ")),
            Check::Form(_, form) => form.to_owned(),
        }
    }

    fn bad(&self, why: Option<String>) -> BadValue {
        BadValue { allowed: self.allowed(), why }
    }

    fn admits(&self, value: &Value) -> bool {
        match (self.check, value) {
            (Check::AtLeast(least), _) => value.as_integer().is_some_and(|n| n >= least),
            (Check::Within(low, high), _) => {
                value.as_integer().is_some_and(|n| (low..=high).contains(&n))
            }
            (Check::WithinOr(low, high, other), _) => {
                value.as_integer().is_some_and(|n| (low..=high).contains(&n) || n == other)
            }
            (Check::Fraction(low, high), Value::Double(n)) => (low..=high).contains(n),
            (Check::OneOf(names), Value::Text(text)) => names.contains(&text.as_str()),
            (Check::OneOf(names), Value::List(texts)) => {
                texts.iter().all(|text| names.contains(&text.as_str()))
            }
            (Check::Any | Check::Form(..), _) => true,
            _ => false,
        }
    }
}

/// A value that its key does not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    /// What is allowed.
    pub allowed: String,
    /// What is wrong in particular, where the check can say.
    pub why: Option<String>,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Some(why) => write!(f, "{why}; allowed is {}", self.allowed),
            None => write!(f, "allowed is {}", self.allowed),
        }
    }
}

impl std::error::Error for BadValue {}
