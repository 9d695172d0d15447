//! Typed handles on rows of the table: `values.get(keys::MIN_INSYNC_REPLICAS)` is an `i32`.

use std::marker::PhantomData;

use crate::spec::{Kind, Spec};
use crate::value::Value;

/// A key whose value is a `T`.
#[derive(Debug)]
pub struct Key<T> {
    spec: &'static Spec,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> Key<T> {
    /// A handle on a row; the table's macro sees to it that the types agree.
    pub(crate) const fn new(spec: &'static Spec) -> Self {
        Self { spec, value: PhantomData }
    }

    /// The row.
    pub const fn spec(self) -> &'static Spec {
        self.spec
    }

    /// Kafka's name for the key.
    pub const fn name(self) -> &'static str {
        self.spec.name
    }
}

/// A Rust type that a key can have.
pub trait FromValue: Sized {
    /// The type as Kafka names it.
    const KIND: Kind;
    /// Whether "not set" is among the values.
    const NULLABLE: bool = false;

    /// The value, if it is of this type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty = $kind:ident;)*) => {$(
        impl FromValue for $type {
            const KIND: Kind = Kind::$kind;
            fn from_value(value: &Value) -> Option<Self> {
                value.as_integer().and_then(|number| number.try_into().ok())
            }
        }
    )*};
}
integers! {
    i16 = Short;
    i32 = Int;
    i64 = Long;
}

impl FromValue for bool {
    const KIND: Kind = Kind::Boolean;
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        }
    }
}

impl FromValue for f64 {
    const KIND: Kind = Kind::Double;
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Double(number) => Some(*number),
            _ => None,
        }
    }
}

impl FromValue for String {
    const KIND: Kind = Kind::String;
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<String> {
    const KIND: Kind = Kind::List;
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::List(texts) => Some(texts.clone()),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const KIND: Kind = T::KIND;
    const NULLABLE: bool = true;
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}
