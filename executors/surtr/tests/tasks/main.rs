//! Surtr's tasks against a stand-in for Ollama, over real HTTP.

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tasks;
