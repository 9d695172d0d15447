//! Seeded values of every message, for tests and fuzzing; empty without the feature `arbitrary`.
//!
//! [`Generate`] comes with each declaration ([`crate::message`]), so a new field is covered as
//! soon as it is declared.

#[cfg(feature = "arbitrary")]
pub use generator::{Generate, GenerateField, Source};

/// Implements [`Generate`] for a declared struct.
#[cfg(feature = "arbitrary")]
#[doc(hidden)]
#[macro_export]
macro_rules! __generate {
    ($name:ident {
        $($field:ident: $type:ty, $exists:literal $(, $nullable:literal)?;)*
    }) => {
        impl $crate::arbitrary::Generate for $name {
            #[allow(unused_variables, unused_mut)]
            fn generate(
                source: &mut $crate::arbitrary::Source,
                version: $crate::Version,
            ) -> Self {
                let mut value = Self::default();
                $(
                    if const { $crate::Versions::parse($exists) }.contains(version.number)
                        && !source.keeps_default()
                    {
                        value.$field =
                            $crate::__generate!(@ $type, source, version $(, $nullable)?);
                    }
                )*
                value
            }
        }
    };
    (@ $type:ty, $source:ident, $version:ident) => {
        <$type as $crate::arbitrary::Generate>::generate($source, $version)
    };
    (@ $type:ty, $source:ident, $version:ident, $nullable:literal) => {
        <$type as $crate::arbitrary::GenerateField>::generate_field(
            $source,
            $version,
            const { $crate::Versions::parse($nullable) }.contains($version.number),
        )
    };
}

/// Implements nothing: the feature `arbitrary` is off.
#[cfg(not(feature = "arbitrary"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __generate {
    ($($declaration:tt)*) => {};
}

#[cfg(feature = "arbitrary")]
mod generator {
    use bytes::Bytes;

    use crate::reader::{MEMORY_FLOOR, TEXT_MAX};
    use crate::{ErrorCode, RecordBytes, Str, Uuid, Version};

    /// What the collections and byte strings of one value may take together, in bytes: one value
    /// in eight has room for lengths that take three bytes, the others are quick. No more than a
    /// frame of many empty elements may take when it is read.
    const BUDGETS: [usize; 8] = [500, 500, 500, 2000, 2000, 2000, 8000, MEMORY_FLOOR];

    /// Numbers out of a seed (splitmix64), and a budget for what is made of them.
    #[derive(Clone, Debug)]
    pub struct Source {
        state: u64,
        budget: usize,
    }

    /// A value that can be made of numbers.
    pub trait Generate: Sized {
        /// Makes a value as that version can carry it.
        fn generate(source: &mut Source, version: Version) -> Self;
    }

    /// A field that is an `Option`.
    pub trait GenerateField: Sized {
        /// Makes a value; none only where null is allowed.
        fn generate_field(source: &mut Source, version: Version, null_allowed: bool) -> Self;
    }

    impl Source {
        /// The numbers of that seed.
        pub fn new(seed: u64) -> Self {
            let mut source = Self { state: seed, budget: 0 };
            source.budget = BUDGETS[source.below(BUDGETS.len())];
            source
        }

        /// The next number.
        pub fn next_u64(&mut self) -> u64 {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut bits = self.state;
            bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            bits ^ bits >> 31
        }

        /// A number below `end`.
        pub fn below(&mut self, end: usize) -> usize {
            (self.next_u64() % end.max(1) as u64) as usize
        }

        /// Whether a field stays at its default: one in eight does.
        pub fn keeps_default(&mut self) -> bool {
            self.below(8) == 0
        }

        /// An integer that is often an edge: 64 bits, of which the caller takes the lowest.
        fn integer(&mut self, bits: u32) -> i64 {
            match self.below(8) {
                0 => 0,
                1 => -1,
                2 => i64::MIN >> (64 - bits),
                3 => i64::MAX >> (64 - bits),
                4 | 5 => self.below(1000) as i64,
                _ => self.next_u64() as i64,
            }
        }

        /// The size of something, at most `max`, often an edge of a length's encoding; charged to
        /// the budget at `cost` apiece.
        fn size(&mut self, max: usize, cost: usize) -> usize {
            let size = match self.below(32) {
                0..=5 => 0,
                6..=23 => 1 + self.below(3),
                24..=29 => self.below(20),
                30 => 125 + self.below(4),
                _ => [300, 16_382, 16_383, 16_384, TEXT_MAX][self.below(5)],
            };
            let size = size.min(max).min(self.budget / cost);
            self.budget -= size * cost;
            size
        }
    }

    macro_rules! integers {
        ($($type:ty)*) => {
            $(
                impl Generate for $type {
                    fn generate(source: &mut Source, _: Version) -> Self {
                        source.integer(Self::BITS) as Self
                    }
                }
            )*
        };
    }

    integers!(i8 i16 u16 i32 u32 i64);

    impl Generate for bool {
        fn generate(source: &mut Source, _: Version) -> Self {
            source.below(2) == 1
        }
    }

    impl Generate for f64 {
        fn generate(source: &mut Source, _: Version) -> Self {
            source.next_u64() as i64 as Self / 1024.0
        }
    }

    impl Generate for ErrorCode {
        fn generate(source: &mut Source, version: Version) -> Self {
            Self(i16::generate(source, version))
        }
    }

    impl Generate for Uuid {
        fn generate(source: &mut Source, _: Version) -> Self {
            match source.below(8) {
                0 => Self(source.below(3) as u128),
                _ => Self(u128::from(source.next_u64()) << 64 | u128::from(source.next_u64())),
            }
        }
    }

    impl Generate for Str {
        fn generate(source: &mut Source, _: Version) -> Self {
            const CHARS: [char; 12] =
                ['a', 'z', 'A', '0', '.', '_', '-', ' ', '\0', 'ř', '…', '🦀'];
            let size = source.size(TEXT_MAX, 1);
            let mut text = String::with_capacity(size);
            while text.len() < size {
                let char = CHARS[source.below(CHARS.len())];
                text.push(if text.len() + char.len_utf8() > size { 'x' } else { char });
            }
            Self::from(text)
        }
    }

    impl Generate for Bytes {
        fn generate(source: &mut Source, _: Version) -> Self {
            let size = source.size(usize::MAX, 1);
            (0..size).map(|_| source.next_u64() as u8).collect()
        }
    }

    impl Generate for RecordBytes {
        fn generate(source: &mut Source, version: Version) -> Self {
            Bytes::generate(source, version).into()
        }
    }

    impl<T: Generate> Generate for Vec<T> {
        fn generate(source: &mut Source, version: Version) -> Self {
            // As many as the budget has room for, without what they hold themselves.
            let size = source.size(usize::MAX, size_of::<T>().max(1));
            (0..size).map(|_| T::generate(source, version)).collect()
        }
    }

    impl<T: Generate> GenerateField for Option<T> {
        fn generate_field(source: &mut Source, version: Version, null_allowed: bool) -> Self {
            if null_allowed && source.below(4) == 0 {
                return None;
            }
            Some(T::generate(source, version))
        }
    }
}
