//! What can be asked, and the help that teaches it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  ygg status                   is everything up, and if not, what to do about it
  ygg runners                  who has registered, and what they can do
  ygg plan                     what runs, what starts next, why the rest waits
  ygg why homelab-42           why this bead is where it is, and all its attempts
  ygg logs homelab-42 -f       what its task prints, as it prints it
  ygg plan --json | jq '.beads[] | select(.decision == \"wait\") | .reason.code'
  ygg --url http://surtr:3000 --key-file ~/.config/ygg.key status

Work is given in Beads, not here:
  bd create \"Look around\" --metadata '{\"task_type\":\"ops-health-check\"}'

Exit codes:
  0   answered
  1   nothing found: no such bead or attempt, or no log yet
  64  something is wrong with the arguments
  69  no coordinator there, or it cannot reach what was asked for
  74  the output cannot be written
  76  something answers there, but it is no coordinator
  77  the coordinator wants a key, or another one";

/// Asks the coordinator what it does, and why.
#[derive(Debug, Parser)]
#[command(name = "ygg", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// Where the coordinator listens.
    #[arg(
        long,
        env = "YGGDRASIL_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:3000",
        global = true
    )]
    pub(crate) url: String,

    /// The API key; other users of this machine can see it in the list of processes.
    #[arg(
        long,
        env = "YGGDRASIL_API_KEY",
        value_name = "KEY",
        hide_env_values = true,
        global = true
    )]
    pub(crate) key: Option<String>,

    /// A file with the API key in its first line; lines with `#` are comments.
    #[arg(long, env = "YGGDRASIL_API_KEY_FILE", value_name = "FILE", global = true)]
    pub(crate) key_file: Option<PathBuf>,

    /// Print what the coordinator said, as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[arg(long, env = "NO_COLOR", hide = true, default_value = "", global = true)]
    pub(crate) no_color: String,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The questions.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Is the coordinator well, and which executors answer it?
    #[command(after_help = "\
Examples:
  ygg status
  ygg status --json | jq -r '.executors | to_entries[] | select(.value.state != \"up\") | .key'")]
    Status,

    /// Who has registered, and what can they do?
    #[command(after_help = "\
Examples:
  ygg runners
  ygg runners --json | jq -r '.runners[] | select(.status == \"offline\") | .name'

A runner is whatever registered with the coordinator: an executor, a Ratatoskr, a script.")]
    Runners,

    /// What runs, what starts next, and why does the rest wait?
    #[command(after_help = "\
Examples:
  ygg plan                all that runs, and the first 50 beads
  ygg plan --all          every bead that has a task type
  ygg plan --json         the same, for programs

Decisions: start, wait (with the reason), block (a person is needed), active.")]
    Plan(Plan),

    /// Why is this bead where it is?
    #[command(after_help = "\
Examples:
  ygg why homelab-42
  ygg why homelab-42 --json | jq -r .reason.code")]
    Why(Why),

    /// What did the task print?
    #[command(after_help = "\
Examples:
  ygg logs homelab-42                    what its newest attempt printed
  ygg logs homelab-42 -f                 go on until it ends
  ygg logs --attempt 01939f2e-…          an older attempt; `ygg why BEAD` lists them
  ygg logs homelab-42 > task.log         every byte as the task wrote it

On a terminal, control characters are made harmless; in a file or pipe nothing is changed.
With --json: one object; with --json --follow: one object per line, as the log grows.")]
    Logs(Logs),

    /// Look at the beads now, without waiting for the next poll.
    Poll,
}

/// `ygg plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Show so many beads; on a terminal 50 unless told.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// Show every bead.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
}

/// `ygg why`.
#[derive(Debug, clap::Args)]
pub(crate) struct Why {
    /// The bead's id.
    #[arg(value_name = "BEAD", value_parser = id)]
    pub(crate) bead: String,
}

/// `ygg logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// The bead's id: its newest attempt that started.
    #[arg(value_name = "BEAD", value_parser = id, required_unless_present = "attempt")]
    pub(crate) bead: Option<String>,

    /// Go on until the task ends.
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// This attempt, whichever bead it belongs to.
    #[arg(long, value_name = "ID", value_parser = id)]
    pub(crate) attempt: Option<String>,

    /// Begin at this byte.
    #[arg(long, value_name = "BYTE", default_value_t = 0)]
    pub(crate) offset: u64,
}

fn id(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("an id has no blanks and is not empty".to_owned());
    }
    if text == "." || text == ".." {
        return Err("that is a folder".to_owned());
    }
    Ok(text.to_owned())
}
