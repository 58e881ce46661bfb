//! The door to Beads, against a scripted fake and against every real program that is found.
//!
//! - `fake`: a program that answers from a script; the traps of the contract run on it everywhere.
//! - `cli`, `contract`: the same suite on every real `bd` and `mb`.

#[cfg(test)]
mod beads {
    mod claiming;
    mod cli;
    mod contract;
    mod ending;
    mod fake;
    mod minibeads;
    mod queue;
    mod reading;
    mod results;
    mod start;
}
