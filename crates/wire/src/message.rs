//! Declarations of messages, and what is made of them.
//!
//! A struct is declared once, with the versions in which each field exists:
//!
//! ```text
//! message! {
//!     /// Answers a [`HeartbeatRequest`].
//!     HeartbeatResponse "0-4", flexible "4+" {
//!         throttle_time_ms: i32, "1+";
//!         error_code: ErrorCode, "0+";
//!     }
//! }
//! ```
//!
//! After a field's versions may follow `nullable "3+"` (the field is then an `Option`),
//! `tagged 0 "12+"` (KIP-482: in those versions the field goes into the tag section) and
//! `default -1` (the value of a field that is absent; else the type's own default).
//! A field that its version lacks is not written, and reads as its default.

use bytes::Bytes;

use crate::reader::{DecodeErrorKind, TEXT_MAX};
use crate::{ApiKey, DecodeError, ErrorCode, Reader, Str, Uuid, Writer};

/// The version that a message is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The number.
    pub number: i16,
    /// Whether lengths are compact and structs end with tagged fields (KIP-482).
    pub flexible: bool,
}

/// A range of versions, both ends included; empty if the first is above the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The first version of the range.
    pub min: i16,
    /// The last version of the range.
    pub max: i16,
}

impl Versions {
    /// No version at all.
    pub const NONE: Self = Self { min: 0, max: -1 };

    /// Reads `"4"`, `"4+"`, `"4-18"` or `"none"`; any other text fails at compile time.
    pub const fn parse(text: &str) -> Self {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes[0] == b'n' {
            return Self::NONE;
        }
        let (min, at) = Self::number(bytes, 0);
        if at == bytes.len() {
            return Self { min, max: min };
        }
        match bytes[at] {
            b'+' => Self { min, max: i16::MAX },
            b'-' => Self { min, max: Self::number(bytes, at + 1).0 },
            _ => panic!("versions are \"N\", \"N+\", \"N-M\" or \"none\""),
        }
    }

    const fn number(bytes: &[u8], mut at: usize) -> (i16, usize) {
        let mut value = 0;
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            value = value * 10 + (bytes[at] - b'0') as i16;
            at += 1;
        }
        (value, at)
    }

    /// Whether the range holds a version.
    pub const fn contains(self, number: i16) -> bool {
        self.min <= number && number <= self.max
    }
}

/// A value that a message is made of.
pub trait Wire: Sized {
    /// Appends the value.
    fn encode(&self, writer: &mut Writer, version: Version);

    /// Takes the value from the front of `reader`.
    ///
    /// # Errors
    /// Whatever makes the bytes no such value, with its position.
    fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError>;
}

/// A value that can be null.
pub trait Nullable: Wire {
    /// Appends the value or null.
    fn encode_nullable(value: Option<&Self>, writer: &mut Writer, version: Version);

    /// Takes the value or null.
    ///
    /// # Errors
    /// As [`Wire::decode`].
    fn decode_nullable(reader: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError>;
}

/// A whole message: the body of a request, of a response, or of a record.
pub trait Message: Wire + Default {
    /// The name in Kafka's protocol guide.
    const NAME: &'static str;
    /// The versions that are declared.
    const VERSIONS: Versions;
    /// The versions with compact lengths and tagged fields.
    const FLEXIBLE: Versions;

    /// The version of that number.
    ///
    /// # Errors
    /// [`DecodeErrorKind::Version`] if it is not declared.
    fn version(number: i16) -> Result<Version, DecodeError> {
        if !Self::VERSIONS.contains(number) {
            let kind = DecodeErrorKind::Version(number);
            return Err(DecodeError { at: 0, path: Self::NAME.to_owned(), kind });
        }
        Ok(Version { number, flexible: Self::FLEXIBLE.contains(number) })
    }

    /// Reads a body. Bytes after its end are passed over, as Kafka does: librdkafka
    /// leaves a few behind a Metadata request for all topics.
    ///
    /// # Errors
    /// Whatever makes the bytes no such message.
    fn read(body: Bytes, version: i16) -> Result<Self, DecodeError> {
        let version = Self::version(version)?;
        let mut reader = Reader::new(body);
        Self::decode(&mut reader, version).map_err(|error| error.within(Self::NAME))
    }

    /// Appends the body.
    ///
    /// # Panics
    /// If the version is not declared: the caller chose it.
    fn write(&self, writer: &mut Writer, version: i16) {
        let version = Self::version(version).expect("the version to encode is declared");
        self.encode(writer, version);
    }
}

/// A request, which knows its key and its answer.
pub trait Request: Message {
    /// The request's kind.
    const KEY: ApiKey;
    /// What answers it.
    type Response: Message;
}

macro_rules! plain {
    ($($type:ty: $method:ident),*) => {
        $(
            impl Wire for $type {
                fn encode(&self, writer: &mut Writer, _: Version) {
                    writer.$method(*self);
                }

                fn decode(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
                    reader.$method()
                }
            }
        )*
    };
}

plain!(i8: i8, i16: i16, u16: u16, i32: i32, u32: u32, i64: i64, f64: f64);

impl Wire for bool {
    fn encode(&self, writer: &mut Writer, _: Version) {
        writer.i8(i8::from(*self));
    }

    fn decode(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
        reader.boolean()
    }
}

impl Wire for ErrorCode {
    fn encode(&self, writer: &mut Writer, _: Version) {
        writer.i16(self.0);
    }

    fn decode(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
        reader.i16().map(Self)
    }
}

impl Wire for Uuid {
    fn encode(&self, writer: &mut Writer, _: Version) {
        writer.raw(&self.to_bytes());
    }

    fn decode(reader: &mut Reader, _: Version) -> Result<Self, DecodeError> {
        reader.uuid()
    }
}

/// The non-null half of a value that can be null.
macro_rules! required {
    () => {
        fn encode(&self, writer: &mut Writer, version: Version) {
            Self::encode_nullable(Some(self), writer, version);
        }

        fn decode(reader: &mut Reader, version: Version) -> Result<Self, DecodeError> {
            Self::decode_nullable(reader, version)?
                .ok_or_else(|| reader.error(DecodeErrorKind::Null))
        }
    };
}

impl Wire for Str {
    required!();
}

impl Nullable for Str {
    fn encode_nullable(value: Option<&Self>, writer: &mut Writer, version: Version) {
        // Only messages for people can be longer than the protocol allows: names came out of it,
        // and lists of settings that grow are refused beyond it.
        let text = value.map(|text| &text[..text.floor_char_boundary(TEXT_MAX)]);
        writer.length(text.map(str::len), version.flexible, true);
        text.iter().for_each(|text| writer.raw(text.as_bytes()));
    }

    fn decode_nullable(reader: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError> {
        reader.string(version.flexible)
    }
}

impl Wire for Bytes {
    required!();
}

impl Nullable for Bytes {
    fn encode_nullable(value: Option<&Self>, writer: &mut Writer, version: Version) {
        writer.length(value.map(Bytes::len), version.flexible, false);
        value.iter().for_each(|bytes| writer.shared(bytes));
    }

    fn decode_nullable(reader: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError> {
        reader.bytes(version.flexible)
    }
}

impl<T: Wire> Wire for Vec<T> {
    required!();
}

impl<T: Wire> Nullable for Vec<T> {
    fn encode_nullable(value: Option<&Self>, writer: &mut Writer, version: Version) {
        writer.length(value.map(Vec::len), version.flexible, false);
        value.iter().for_each(|vec| vec.iter().for_each(|item| item.encode(writer, version)));
    }

    fn decode_nullable(reader: &mut Reader, version: Version) -> Result<Option<Self>, DecodeError> {
        reader.array(version.flexible, |reader| T::decode(reader, version))
    }
}

/// How a field that is an `Option` is written where null is allowed and where it is not.
pub trait NullableField: Sized {
    /// Appends the value, or null where the version allows it (else an empty value).
    fn encode_field(&self, writer: &mut Writer, version: Version, null_allowed: bool);

    /// Takes the value.
    ///
    /// # Errors
    /// As [`Wire::decode`]; [`DecodeErrorKind::Null`] where null is not allowed.
    fn decode_field(
        reader: &mut Reader,
        version: Version,
        null_allowed: bool,
    ) -> Result<Self, DecodeError>;
}

impl<T: Nullable + Default> NullableField for Option<T> {
    fn encode_field(&self, writer: &mut Writer, version: Version, null_allowed: bool) {
        match self {
            _ if null_allowed => T::encode_nullable(self.as_ref(), writer, version),
            Some(value) => value.encode(writer, version),
            None => T::default().encode(writer, version),
        }
    }

    fn decode_field(
        reader: &mut Reader,
        version: Version,
        null_allowed: bool,
    ) -> Result<Self, DecodeError> {
        if null_allowed {
            return T::decode_nullable(reader, version);
        }
        T::decode(reader, version).map(Some)
    }
}

/// Declares structs of the protocol: see the [module](self).
#[macro_export]
macro_rules! message {
    ($(
        $(#[$meta:meta])*
        $name:ident $($versions:literal, flexible $flexible:literal)? {
            $(
                $field:ident: $type:ty, $exists:literal
                $(, nullable $nullable:literal)?
                $(, tagged $tag:literal $tagged:literal)?
                $(, default $default:expr)?;
            )*
        }
    )*) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $name {
                $(
                    #[doc = concat!("In versions ", $exists, ".")]
                    pub $field: $type,
                )*
            }

            impl ::std::default::Default for $name {
                fn default() -> Self {
                    Self {
                        $($field: $crate::message!(@default $type $(, $default)?),)*
                    }
                }
            }

            impl $crate::message::Wire for $name {
                #[allow(unused_variables, unused_mut, clippy::too_many_lines)]
                fn encode(&self, writer: &mut $crate::Writer, version: $crate::Version) {
                    let mut tags: ::std::vec::Vec<(u32, $crate::Writer)> = ::std::vec::Vec::new();
                    $(
                        if const { $crate::Versions::parse($exists) }.contains(version.number) {
                            let tag: ::std::option::Option<u32> =
                                $crate::message!(@tag version $(, $tag $tagged)?);
                            match tag {
                                Some(tag) => {
                                    let default: $type =
                                        $crate::message!(@default $type $(, $default)?);
                                    if self.$field != default {
                                        let mut value = $crate::Writer::new();
                                        $crate::message!(
                                            @encode self.$field, &mut value, version
                                            $(, $nullable)?
                                        );
                                        tags.push((tag, value));
                                    }
                                }
                                None => {
                                    $crate::message!(
                                        @encode self.$field, writer, version $(, $nullable)?
                                    );
                                }
                            }
                        }
                    )*
                    if version.flexible {
                        $crate::message::write_tags(writer, tags);
                    }
                }

                #[allow(unused_variables, unused_mut, clippy::too_many_lines)]
                fn decode(
                    reader: &mut $crate::Reader,
                    version: $crate::Version,
                ) -> ::std::result::Result<Self, $crate::DecodeError> {
                    let mut message = Self::default();
                    $(
                        if const { $crate::Versions::parse($exists) }.contains(version.number)
                            && $crate::message!(@tag version $(, $tag $tagged)?).is_none()
                        {
                            message.$field = $crate::message!(
                                @decode $type, reader, version $(, $nullable)?
                            )
                            .map_err(|error| error.within(stringify!($field)))?;
                        }
                    )*
                    if version.flexible {
                        reader.tagged_fields(|tag, reader| {
                            $(
                                if const { $crate::Versions::parse($exists) }
                                    .contains(version.number)
                                    && $crate::message!(@tag version $(, $tag $tagged)?)
                                        == Some(tag)
                                {
                                    message.$field = $crate::message!(
                                        @decode $type, reader, version $(, $nullable)?
                                    )
                                    .map_err(|error| error.within(stringify!($field)))?;
                                    return Ok(true);
                                }
                            )*
                            Ok(false)
                        })?;
                    }
                    Ok(message)
                }
            }

            impl $crate::message::Nullable for $name {
                fn encode_nullable(
                    value: ::std::option::Option<&Self>,
                    writer: &mut $crate::Writer,
                    version: $crate::Version,
                ) {
                    match value {
                        Some(value) => {
                            writer.i8(1);
                            $crate::message::Wire::encode(value, writer, version);
                        }
                        None => writer.i8(-1),
                    }
                }

                fn decode_nullable(
                    reader: &mut $crate::Reader,
                    version: $crate::Version,
                ) -> ::std::result::Result<::std::option::Option<Self>, $crate::DecodeError> {
                    // Kafka writes -1 and 1, and reads whatever is negative as null.
                    if reader.i8()? < 0 {
                        return Ok(None);
                    }
                    <Self as $crate::message::Wire>::decode(reader, version).map(Some)
                }
            }

            $crate::__generate! {
                $name { $($field: $type, $exists $(, $nullable)?;)* }
            }

            $(
                impl $crate::Message for $name {
                    const NAME: &'static str = stringify!($name);
                    const VERSIONS: $crate::Versions = $crate::Versions::parse($versions);
                    const FLEXIBLE: $crate::Versions = $crate::Versions::parse($flexible);
                }
            )?
        )*
    };
    (@default $type:ty) => { <$type as ::std::default::Default>::default() };
    (@default $type:ty, $default:expr) => { $default };
    (@tag $version:ident) => { None::<u32> };
    (@tag $version:ident, $tag:literal $tagged:literal) => {
        if const { $crate::Versions::parse($tagged) }.contains($version.number) {
            Some($tag)
        } else {
            None::<u32>
        }
    };
    (@encode $value:expr, $writer:expr, $version:ident) => {
        $crate::message::Wire::encode(&$value, $writer, $version)
    };
    (@encode $value:expr, $writer:expr, $version:ident, $nullable:literal) => {
        $crate::message::NullableField::encode_field(
            &$value,
            $writer,
            $version,
            const { $crate::Versions::parse($nullable) }.contains($version.number),
        )
    };
    (@decode $type:ty, $reader:ident, $version:ident) => {
        <$type as $crate::message::Wire>::decode($reader, $version)
    };
    (@decode $type:ty, $reader:ident, $version:ident, $nullable:literal) => {
        <$type as $crate::message::NullableField>::decode_field(
            $reader,
            $version,
            const { $crate::Versions::parse($nullable) }.contains($version.number),
        )
    };
}

/// Pairs a request with its key and its answer.
macro_rules! request {
    ($request:ident, $key:ident, $response:ident) => {
        impl $crate::Request for $request {
            const KEY: $crate::ApiKey = $crate::ApiKey::$key;
            type Response = $response;
        }
    };
}
pub(crate) use request;

/// Appends a struct's tag section (KIP-482), in the order of the tags.
#[doc(hidden)]
pub fn write_tags(writer: &mut Writer, mut tags: Vec<(u32, Writer)>) {
    tags.sort_by_key(|(tag, _)| *tag);
    writer.unsigned_varint(tags.len() as u32);
    for (tag, value) in tags {
        writer.unsigned_varint(tag);
        writer.unsigned_varint(value.len() as u32);
        writer.append(value);
    }
}
