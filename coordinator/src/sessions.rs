//! Sessions and the realms that they run in.

/// Every session and realm.
#[derive(Debug, Default)]
pub struct Sessions {}
