//! What a runner says of its machine. A member that is `null` counts as zero, and is never sent
//! from here.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use crate::{number, object};

/// Reads a number; `null` is none. A sampler that divides by nothing sends it, and no runner is
/// to be refused for that.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Option::<f64>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The same for whole numbers.
fn count<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: number::Whole + Default,
{
    number::maybe_one(deserializer).map(Option::unwrap_or_default)
}

/// The same for objects.
fn part<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    object::maybe_one(deserializer).map(Option::unwrap_or_default)
}

/// Writes a number as every program of JavaScript does: a whole one without a fraction. Readers
/// that want a whole number refuse `2740.0`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "that is how serde hands a member over")]
fn write_number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    // Up to here each whole number is exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f64(*number)
    }
}

/// What a machine has, and how busy it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct SystemResources {
    /// The processors.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<CpuResources>)]
    pub cpu: CpuResources,
    /// The memory.
    #[serde(default, deserialize_with = "part")]
    #[schema(value_type = Option<MemoryResources>)]
    pub memory: MemoryResources,
    /// Seconds since the machine started.
    #[serde(default, serialize_with = "write_number", deserialize_with = "amount")]
    #[schema(value_type = Option<f64>)]
    pub uptime: f64,
}

/// The processors of a machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct CpuResources {
    /// Load average over one minute.
    #[serde(default, serialize_with = "write_number", deserialize_with = "amount")]
    #[schema(value_type = Option<f64>)]
    pub load1: f64,
    /// Load average over five minutes.
    #[serde(default, serialize_with = "write_number", deserialize_with = "amount")]
    #[schema(value_type = Option<f64>)]
    pub load5: f64,
    /// Load average over fifteen minutes.
    #[serde(default, serialize_with = "write_number", deserialize_with = "amount")]
    #[schema(value_type = Option<f64>)]
    pub load15: f64,
    /// How many logical processors there are.
    #[serde(default, deserialize_with = "count")]
    #[schema(value_type = Option<u32>)]
    pub cpus: u32,
    /// The busy share since the last sample, over all of them, 0 to 100.
    #[serde(default, serialize_with = "write_number", deserialize_with = "amount")]
    #[schema(value_type = Option<f64>)]
    pub percent: f64,
}

/// The memory of a machine, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct MemoryResources {
    /// All of it.
    #[serde(default, deserialize_with = "count")]
    #[schema(value_type = Option<u64>)]
    pub total: u64,
    /// `total` less `free`.
    #[serde(default, deserialize_with = "count")]
    #[schema(value_type = Option<u64>)]
    pub used: u64,
    /// What is free.
    #[serde(default, deserialize_with = "count")]
    #[schema(value_type = Option<u64>)]
    pub free: u64,
    /// The used share, 0 to 100.
    #[serde(default, serialize_with = "write_number", deserialize_with = "amount")]
    #[schema(value_type = Option<f64>)]
    pub percent: f64,
}
