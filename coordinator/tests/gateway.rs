//! The gateway between real clients and small real agents.
//!
//! - `stage`: a registry, a ledger and a gateway; `agents`: what is behind it.

#[cfg(test)]
mod gateway {
    mod agents;
    mod full;
    mod handing;
    mod repeating;
    mod sessions;
    mod stage;
}
