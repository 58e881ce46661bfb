//! The work that Huginn can do.

mod network_check;
mod ops_health_check;
mod power_wake;

pub use network_check::NetworkCheck;
pub use ops_health_check::OpsHealthCheck;
pub use power_wake::PowerWake;
