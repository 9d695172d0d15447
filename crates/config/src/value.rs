//! The value of a key: typed, and as Kafka's tools write it.

use std::fmt;

use crate::spec::Kind;

/// A value of any key.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not set.
    Null,
    /// A boolean.
    Bool(bool),
    /// A short, an int or a long: which of them, the key says.
    Integer(i64),
    /// A floating-point number.
    Double(f64),
    /// A string or a password.
    Text(String),
    /// A list.
    List(Vec<String>),
}

impl Value {
    /// Reads a text as a type of value; `None` if it is none.
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let text = text.trim();
        let integer = |least: i64, most: i64| {
            let number = text.parse::<i64>().ok()?;
            (least..=most).contains(&number).then_some(Self::Integer(number))
        };
        match kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Some(Self::Bool(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Some(Self::Bool(false)),
            Kind::Boolean => None,
            Kind::Int => integer(i64::from(i32::MIN), i64::from(i32::MAX)),
            Kind::Short => integer(i64::from(i16::MIN), i64::from(i16::MAX)),
            Kind::Long => integer(i64::MIN, i64::MAX),
            Kind::Double => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Self::Double),
            Kind::String | Kind::Password => Some(Self::Text(text.to_owned())),
            Kind::List if text.is_empty() => Some(Self::List(Vec::new())),
            Kind::List => {
                Some(Self::List(text.split(',').map(|part| part.trim().to_owned()).collect()))
            }
        }
    }

    /// The integer, if it is one.
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether it is "not set".
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value as DescribeConfigs shows it; `None` for "not set".
    pub fn to_text(&self) -> Option<String> {
        (!self.is_null()).then(|| self.to_string())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            // As Java writes it.
            Self::Double(value) => f.write_str(&format!("{value:?}").replace('e', "E")),
            Self::Text(value) => f.write_str(value),
            Self::List(values) => f.write_str(&values.join(",")),
        }
    }
}
