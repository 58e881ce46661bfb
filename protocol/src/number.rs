//! Reading whole numbers as they are written elsewhere: `60000.0` is one too.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// A whole number that fits.
pub(crate) trait Whole: TryFrom<u64> + TryFrom<i64> {
    /// What it is, for an error.
    const WHAT: &'static str;
}

impl Whole for u32 {
    const WHAT: &'static str = "u32";
}

impl Whole for u64 {
    const WHAT: &'static str = "u64";
}

impl Whole for i64 {
    const WHAT: &'static str = "i64";
}

struct One<T>(PhantomData<T>);

impl<T: Whole> Visitor<'_> for One<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        // Every whole number of up to 15 digits is the same as text and as a float.
        if number.fract() == 0.0 && number.abs() < 1e15 {
            let text = format!("{number:.0}");
            if let Ok(whole) = text.parse::<i64>() {
                return self.visit_i64(whole);
            }
        }
        Err(E::invalid_type(Unexpected::Float(number), &self))
    }
}

struct Maybe<T>(PhantomData<T>);

impl<'de, T: Whole> Visitor<'de> for Maybe<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_none<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        one(deserializer).map(Some)
    }
}

/// Reads a whole number.
pub(crate) fn one<'de, D: Deserializer<'de>, T: Whole>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(One(PhantomData))
}

/// Reads a whole number, or `null`.
pub(crate) fn maybe_one<'de, D: Deserializer<'de>, T: Whole>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(Maybe(PhantomData))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Read {
        #[serde(deserialize_with = "one")]
        size: u32,
        #[serde(default, deserialize_with = "maybe_one")]
        at: Option<i64>,
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (text, size, at) in [
            (r#"{"size":2}"#, 2, None),
            (r#"{"size":2.0,"at":-3.0}"#, 2, Some(-3)),
            (r#"{"size":4294967295,"at":null}"#, u32::MAX, None),
        ] {
            assert_eq!(serde_json::from_str::<Read>(text).unwrap(), Read { size, at }, "{text}");
        }
        for text in [
            r#"{"size":2.5}"#,
            r#"{"size":-1}"#,
            r#"{"size":4294967296}"#,
            r#"{"size":"2"}"#,
            r#"{"size":1e300}"#,
            r#"{"size":null}"#,
        ] {
            let error = serde_json::from_str::<Read>(text).unwrap_err().to_string();
            assert!(error.contains("expected u32"), "{text}: {error}");
        }
    }
}
