//! What a runner says of its machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::{number, object};

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
    #[serde(default, deserialize_with = "object::one")]
    pub cpu: CpuResources,
    /// The memory.
    #[serde(default, deserialize_with = "object::one")]
    pub memory: MemoryResources,
    /// Seconds since the machine started.
    #[serde(default, serialize_with = "write_number")]
    pub uptime: f64,
}

/// The processors of a machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct CpuResources {
    /// Load average over one minute.
    #[serde(default, serialize_with = "write_number")]
    pub load1: f64,
    /// Load average over five minutes.
    #[serde(default, serialize_with = "write_number")]
    pub load5: f64,
    /// Load average over fifteen minutes.
    #[serde(default, serialize_with = "write_number")]
    pub load15: f64,
    /// How many logical processors there are.
    #[serde(default, deserialize_with = "number::one")]
    pub cpus: u32,
    /// The busy share since the last sample, over all of them, 0 to 100.
    #[serde(default, serialize_with = "write_number")]
    pub percent: f64,
}

/// The memory of a machine, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
pub struct MemoryResources {
    /// All of it.
    #[serde(default, deserialize_with = "number::one")]
    pub total: u64,
    /// `total` less `free`.
    #[serde(default, deserialize_with = "number::one")]
    pub used: u64,
    /// What is free.
    #[serde(default, deserialize_with = "number::one")]
    pub free: u64,
    /// The used share, 0 to 100.
    #[serde(default, serialize_with = "write_number")]
    pub percent: f64,
}
