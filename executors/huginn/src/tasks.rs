//! The work that Huginn can do.

mod dns_check;
mod dns_record;
mod monitor_pihole;
mod monitor_plex;
mod network_check;
mod ops_health_check;
mod power_off;
mod power_status;
mod power_suspend;
mod power_wake;
mod service_restart;

pub use dns_check::DnsCheck;
pub use dns_record::DnsRecord;
pub use monitor_pihole::MonitorPihole;
pub use monitor_plex::MonitorPlex;
pub use network_check::NetworkCheck;
pub use ops_health_check::OpsHealthCheck;
pub use power_off::PowerOff;
pub use power_status::PowerStatus;
pub use power_suspend::PowerSuspend;
pub use power_wake::PowerWake;
pub use service_restart::ServiceRestart;
