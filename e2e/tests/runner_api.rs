//! The runner API as its clients know it: each route of the existing protocol against a real
//! coordinator, byte for byte where the bytes are known, by shape elsewhere, and what this
//! coordinator promises beyond it.
//!
//! - `http`: what all routes share; `refusals`: what each of them refuses.
//! - `registering`, `tasks`, `updates`, `admin`: runners; `sessions`, `starts`, `realms`: what they host.
//! - `survives`: a crash; `hostile`: clients that mean no good.

#[cfg(test)]
mod runner_api {
    mod admin;
    mod api;
    mod hostile;
    mod http;
    mod raw;
    mod realms;
    mod refusals;
    mod registering;
    mod sessions;
    mod starts;
    mod survives;
    mod tasks;
    mod updates;
}
