//! Huginn's tasks on this machine's loopback, over real HTTP.

#[cfg(test)]
mod tasks;
