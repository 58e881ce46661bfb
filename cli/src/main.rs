//! `ygg`: asks the coordinator what it does, and why.
//!
//! - [`args`]: what can be asked, and the help that teaches it.
//! - [`client`]: HTTP to the coordinator, and what its silence means.
//! - [`screen`]: tables, colours, and text that cannot play tricks on a terminal.
//! - [`status`], [`runners`], [`plan`], [`why`], [`logs`]: one file per question.

mod args;
mod client;
mod logs;
mod plan;
mod runners;
mod screen;
mod status;
#[cfg(test)]
mod tests;
mod trouble;
mod why;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};
use client::Client;
use screen::Screen;
use trouble::Trouble;

fn main() -> ExitCode {
    let screen = Screen::of_this_terminal();
    let code = run(std::env::args_os(), screen, &mut io::stdout().lock(), &mut io::stderr().lock());
    ExitCode::from(code)
}

/// Answers one question and returns the exit code.
fn run(
    args: impl IntoIterator<Item = OsString>,
    screen: Screen,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => return clap_answer(&error, screen, out, err),
    };
    let screen = if args.no_color.is_empty() { screen } else { screen.without_colour() };
    let answered = answer(&args, screen, out, err).and_then(|()| Ok(out.flush()?));
    match answered {
        Ok(()) => 0,
        // Whoever read our output has seen enough: `ygg plan | head`.
        Err(trouble) if trouble.is_closed_pipe() => 0,
        Err(trouble) => {
            // With stderr gone as well there is nobody left to tell.
            drop(write!(err, "{trouble}"));
            trouble.code
        }
    }
}

/// Prints help, version or what is wrong with the arguments.
fn clap_answer(
    error: &clap::Error,
    screen: Screen,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let text = error.render();
    let text = if screen.colour { text.ansi().to_string() } else { text.to_string() };
    if error.use_stderr() {
        drop(write!(err, "{text}"));
        trouble::USAGE
    } else {
        drop(write!(out, "{text}"));
        0
    }
}

fn answer(
    args: &Args,
    screen: Screen,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Trouble> {
    let client = Client::new(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match &args.command {
            Command::Status => status::answer(&client, args.json, screen, out).await,
            Command::Runners => runners::answer(&client, args.json, screen, out).await,
            Command::Plan(asked) => plan::answer(&client, asked, args.json, screen, out).await,
            Command::Why(asked) => why::answer(&client, asked, args.json, screen, out).await,
            Command::Logs(asked) => logs::answer(&client, asked, args.json, screen, out, err).await,
            Command::Poll => poll(&client, args.json, out).await,
        }
    })
}

/// Has the coordinator look at the beads now.
async fn poll(client: &Client, json: bool, out: &mut dyn Write) -> Result<(), Trouble> {
    let answer = client.post(&["poll"]).await?;
    if json {
        writeln!(out, "{answer:#}")?;
    } else {
        writeln!(out, "the coordinator looks at the beads now; `ygg plan` shows what it finds")?;
    }
    Ok(())
}
