//! The spawn itself.

use std::fs::File;
use std::io::{self, ErrorKind, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{AccessFlags, Pid, access};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::find::resolve;
use super::guard::Running;
use super::{Command, SpawnError};
use crate::leftovers;

// Forks compete for the process's memory map and file table, which are one per process; so is this.
static SPAWNS: Semaphore = Semaphore::const_new(8);

/// Starts a command. What was started is owned by the returned guard from its first moment, also
/// when this future is dropped meanwhile.
pub(super) async fn start(command: Command) -> Result<Running, SpawnError> {
    let command = Arc::new(command);
    let mut patience = 10;
    loop {
        let attempt = Arc::clone(&command);
        let _permit = SPAWNS.acquire().await;
        let started = spawn_blocking(move || start_blocking(&attempt)).await;
        match started.unwrap_or_else(|lost| Err(failed(&command, io::Error::other(lost)))) {
            // Somebody, perhaps a fork of ours a moment ago, still has the file open for writing.
            Err(SpawnError::Io { source, .. })
                if source.kind() == ErrorKind::ExecutableFileBusy && patience > 0 =>
            {
                patience -= 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            started => return started,
        }
    }
}

fn start_blocking(command: &Command) -> Result<Running, SpawnError> {
    if let Some(cwd) = &command.cwd
        && !(cwd.is_dir() && access(cwd, AccessFlags::X_OK).is_ok())
    {
        return Err(SpawnError::Cwd { path: cwd.to_string_lossy().into_owned() });
    }
    let file = resolve(command)?;
    spawn(command, file.into()).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            SpawnError::NotExecutable { program: command.program.to_string_lossy().into_owned() }
        }
        _ => failed(command, error),
    })
}

fn spawn(command: &Command, file: std::ffi::OsString) -> io::Result<Running> {
    let (out, out_writer) = io::pipe()?;
    let (err, err_writer) = if command.split {
        let (reader, writer) = io::pipe()?;
        (Some(reader), Some(writer))
    } else {
        (None, None)
    };
    let name = command.program.clone();
    let mut expression = duct::cmd(file, &command.args).full_env(environment(command));
    if let Some(cwd) = &command.cwd {
        expression = expression.dir(cwd);
    }
    expression = match &command.stdin {
        Some(bytes) => expression.stdin_file(readable_file(bytes)?),
        None => expression.stdin_null(),
    };
    expression = match err_writer {
        Some(writer) => expression.stderr_file(writer),
        // Before `stdout_file`: in the other order stderr goes to where our own stdout goes.
        None => expression.stderr_to_stdout(),
    };
    expression = expression.stdout_file(out_writer).unchecked().before_spawn(move |std| {
        std.process_group(0);
        std.arg0(&name);
        Ok(())
    });
    let handle = expression.start()?;
    // The expression owns our copies of the pipes' writers; without this the end of file never comes.
    drop(expression);
    let group = handle.pids().first().and_then(|pid| i32::try_from(*pid).ok());
    let group = Pid::from_raw(group.ok_or_else(|| io::Error::other("the child has no pid"))?);
    let mut running = Running {
        handle: Some(handle),
        group,
        out: None,
        err: None,
        mark: command.mark.clone().filter(|_| command.kill),
        kill: command.kill,
    };
    running.err = err.map(|err| Receiver::from_owned_fd(OwnedFd::from(err))).transpose()?;
    running.out = Some(Receiver::from_owned_fd(OwnedFd::from(out))?);
    Ok(running)
}

fn environment(
    command: &Command,
) -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
    let mark = command.mark.clone().map(|mark| (leftovers::VARIABLE.into(), mark.into()));
    command.env.clone().into_iter().chain(mark)
}

// Stdin is a file in memory: there is no pipe to feed, so a child that never reads it, or reads half
// of it, holds up nobody.
fn readable_file(bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"stdin", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

fn failed(command: &Command, source: io::Error) -> SpawnError {
    SpawnError::Io { program: command.program.to_string_lossy().into_owned(), source }
}
