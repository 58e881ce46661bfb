//! The work that Huginn can do.

mod network_check;
mod ops_health_check;
mod power_status;
mod power_wake;

pub use network_check::NetworkCheck;
pub use ops_health_check::OpsHealthCheck;
pub use power_status::PowerStatus;
pub use power_wake::PowerWake;
