//! Surtr's tasks over real HTTP: against the real Ollama with a model of our own, and against a
//! stand-in that also goes wrong where the real one cannot be made to.

#[cfg(test)]
mod answers;
#[cfg(test)]
mod common;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod docker_stage;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod gguf;
#[cfg(test)]
mod gpu;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod models;
#[cfg(test)]
mod real;
#[cfg(test)]
mod real_docker;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod stand_in;
