//! Fenrir's tasks on real repositories and real tools, over real HTTP.

#[cfg(test)]
mod code_review;
#[cfg(test)]
mod ended;
#[cfg(test)]
mod git_clone;
#[cfg(test)]
mod git_commit;
#[cfg(test)]
mod git_pull_push;
#[cfg(test)]
mod git_servers;
#[cfg(test)]
mod git_status;
#[cfg(test)]
mod health;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod read_only;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod stage;
