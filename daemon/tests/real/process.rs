//! Commands that end by themselves: what they get, and what comes back.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use daemon::process::{Captured, Command, ExitKind, SpawnError, Stream, Why, capture, run};
use tokio_util::sync::CancellationToken;

use crate::support::{Output, gather, myself, sh, with_path};

async fn captured(command: Command) -> Captured {
    capture(command, 1 << 20, &CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn a_command_ends_with_its_code_and_its_output_in_order() {
    let (ended, text) = gather(sh("echo one; echo two >&2; echo three; exit 7")).await.unwrap();

    assert_eq!((ended.why, ended.exit, ended.escaped), (Why::Exited, ExitKind::Code(7), false));
    assert_eq!(text, "one\ntwo\nthree\n");
}

#[tokio::test]
async fn a_signal_is_told_from_a_code() {
    let (ended, _) = gather(sh("kill -SEGV $$")).await.unwrap();

    assert_eq!(ended.exit, ExitKind::Signal(11));
    assert_eq!(ended.why, Why::Exited);
}

#[tokio::test]
async fn the_environment_is_only_what_was_given() {
    let command = Command::new("env").env("A", "b c").mark("/spool/1/2/3");

    let Captured { stdout, .. } = captured(command).await;

    assert_eq!(String::from_utf8(stdout).unwrap(), "A=b c\nYGGDRASIL_ATTEMPT=/spool/1/2/3\n");
}

#[tokio::test]
async fn arguments_reach_the_program_as_they_are() {
    let command = Command::new("printf").args(["<%s>", "$HOME `x`", "*", "", "ä\n"]);

    let Captured { stdout, .. } = captured(command).await;

    assert_eq!(String::from_utf8(stdout).unwrap(), "<$HOME `x`><*><><ä\n>");
}

#[tokio::test]
async fn stdin_is_empty_unless_given() {
    assert_eq!(captured(Command::new("cat")).await.stdout, b"");
}

#[tokio::test]
async fn stdin_is_delivered_whole() {
    let input: Vec<u8> = (0..=255).cycle().take(900_000).collect();

    let captured = captured(Command::new("cat").stdin(input.clone())).await;

    assert!(captured.stdout == input);
}

#[tokio::test]
async fn a_child_that_does_not_read_its_stdin_holds_up_nobody() {
    let input = vec![b'x'; 5_000_000];

    let ended = captured(Command::new("true").stdin(input.clone())).await.ended;
    let half = captured(Command::new("head").args(["-c", "5"]).stdin(input)).await;

    assert_eq!(ended.exit, ExitKind::Code(0));
    assert_eq!(half.stdout, b"xxxxx");
}

#[tokio::test]
async fn streams_can_be_taken_apart() {
    let command = sh("echo out; echo err >&2").split();
    let seen = Arc::new(Mutex::new(Vec::<(Stream, Vec<u8>)>::new()));
    let sink = {
        let seen = Arc::clone(&seen);
        move |stream, bytes: &[u8]| seen.lock().unwrap().push((stream, bytes.to_vec()))
    };

    run(command, sink, &CancellationToken::new()).await.unwrap();

    let seen = seen.lock().unwrap();
    assert!(seen.contains(&(Stream::Out, b"out\n".to_vec())), "{seen:?}");
    assert!(seen.contains(&(Stream::Err, b"err\n".to_vec())), "{seen:?}");
}

#[tokio::test]
async fn capture_keeps_the_head_of_each_stream() {
    let command = sh("echo problem >&2; seq 1 100000");

    let captured = capture(command, 10, &CancellationToken::new()).await.unwrap();

    assert_eq!(captured.stdout, b"1\n2\n3\n4\n5\n");
    assert_eq!(captured.stderr, b"problem\n");
    assert!(captured.cut);
    assert_eq!(captured.ended.exit, ExitKind::Code(0));
}

#[tokio::test]
async fn bytes_that_are_no_text_come_as_they_are() {
    let Captured { stdout, cut, .. } = captured(sh(r"printf '\377\000\376\n'")).await;

    assert_eq!(stdout, b"\xff\x00\xfe\n");
    assert!(!cut);
}

#[tokio::test]
async fn a_flood_of_output_does_not_fill_the_memory() {
    // In a process of its own: other tests of this one take memory as well.
    let (ended, text) = gather(myself("process::flooded")).await.unwrap();

    assert_eq!(ended.exit, ExitKind::Code(0), "{text}");
}

#[tokio::test]
#[ignore = "started by `a_flood_of_output_does_not_fill_the_memory`"]
async fn flooded() {
    let bytes = Arc::new(AtomicU64::new(0));
    let most = Arc::new(AtomicU64::new(0));
    let sink = || {
        let (bytes, most) = (Arc::clone(&bytes), Arc::clone(&most));
        move |_, chunk: &[u8]| {
            bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            most.fetch_max(resident_bytes(), Ordering::Relaxed);
        }
    };
    let cancel = CancellationToken::new();
    // The first command brings up what any command needs.
    run(sh("echo x"), sink(), &cancel).await.unwrap();
    let before = resident_bytes();

    run(sh("head -c 50000000 /dev/zero"), sink(), &cancel).await.unwrap();

    assert_eq!(bytes.load(Ordering::Relaxed), 50_000_002);
    let grown = most.load(Ordering::Relaxed).saturating_sub(before);
    assert!(grown < 5_000_000, "{grown} bytes more");
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

// On one thread: a sink that ran on it would wait for itself.
#[tokio::test(flavor = "current_thread")]
async fn a_sink_that_waits_does_not_hold_up_the_runtime() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (called, mut was_called) = tokio::sync::mpsc::unbounded_channel();
    let sink = move |_, _: &[u8]| {
        called.send(()).unwrap();
        released.recv().unwrap();
    };
    let cancel = CancellationToken::new();

    let (ended, ()) = tokio::join!(run(sh("echo x"), sink, &cancel), async {
        was_called.recv().await.unwrap();
        release.send(()).unwrap();
    });

    assert_eq!(ended.unwrap().exit, ExitKind::Code(0));
}

#[tokio::test]
#[should_panic(expected = "the sink broke")]
async fn a_panic_of_the_sink_is_not_swallowed() {
    let sink = |_, _: &[u8]| panic!("the sink broke");

    drop(run(sh("echo x; sleep 300"), sink, &CancellationToken::new()).await);
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    std::fs::write(&data, "no program").unwrap();
    let broken = temp.path().join("broken");
    std::fs::write(&broken, "#!/nonexistent/interpreter\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();

    let missing = gather(Command::new("no-such-program-here")).await.unwrap_err();
    assert!(matches!(missing, SpawnError::NotFound { .. }), "{missing}");
    assert_eq!(missing.to_string(), "program `no-such-program-here` was not found");

    let not_executable = gather(Command::new(&data)).await.unwrap_err();
    assert!(matches!(not_executable, SpawnError::NotExecutable { .. }), "{not_executable}");

    let no_cwd = gather(sh("true").cwd(temp.path().join("gone"))).await.unwrap_err();
    assert!(matches!(&no_cwd, SpawnError::Cwd { path } if path.ends_with("gone")), "{no_cwd}");

    let cwd_is_file = gather(sh("true").cwd(&data)).await.unwrap_err();
    assert!(matches!(cwd_is_file, SpawnError::Cwd { .. }), "{cwd_is_file}");

    let interpreter = gather(Command::new(&broken)).await.unwrap_err();
    assert!(matches!(interpreter, SpawnError::Io { .. }), "{interpreter}");

    let nul = gather(sh("true").arg("a\0b")).await.unwrap_err();
    assert!(matches!(nul, SpawnError::Io { .. }), "{nul}");
}

#[tokio::test]
async fn a_command_runs_where_it_is_told_to() {
    let temp = tempfile::tempdir().unwrap();
    let script = temp.path().join("here.sh");
    std::fs::write(&script, "#!/bin/sh\npwd -P\necho \"$0\"\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();

    let (_, text) = gather(Command::new("./here.sh").cwd(temp.path())).await.unwrap();

    let (place, name) = text.split_once('\n').unwrap();
    assert_eq!(OsStr::new(place), temp.path().canonicalize().unwrap());
    assert!(name.trim_end().ends_with("/here.sh"), "{name}");
}

#[tokio::test]
async fn a_program_sees_the_name_it_was_called_by() {
    let (_, text) = gather(sh("echo $0")).await.unwrap();

    assert_eq!(text, "sh\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_run_at_once_and_each_keeps_its_own_output() {
    let mut commands = tokio::task::JoinSet::new();
    for number in 0..100 {
        commands.spawn(async move {
            let (ended, text) = gather(sh(&format!("echo {number}; exit {number}"))).await.unwrap();
            assert_eq!(ended.exit, ExitKind::Code(number));
            assert_eq!(text, format!("{number}\n"));
        });
    }

    let done = commands.join_all().await;

    assert_eq!(done.len(), 100);
}

#[tokio::test]
async fn the_duration_is_that_of_the_leader() {
    let (ended, _) = gather(with_path(Command::new("sleep").arg("0.2"))).await.unwrap();

    assert!(ended.duration >= Duration::from_millis(190), "{:?}", ended.duration);
    assert!(ended.duration < Duration::from_secs(10), "{:?}", ended.duration);
}

#[tokio::test]
async fn a_slow_sink_loses_no_line() {
    let output = Output::default();
    let mut keep = output.sink();
    let (_never, wait) = std::sync::mpsc::channel::<()>();
    // Longer than the pipe is given after the end of the command.
    let slow = move |stream, bytes: &[u8]| {
        keep(stream, bytes);
        let _ = wait.recv_timeout(Duration::from_millis(1500));
    };

    let command = sh("echo first; sleep 0.1; echo second");
    let ended = run(command, slow, &CancellationToken::new()).await.unwrap();

    assert_eq!(output.text(), "first\nsecond\n");
    assert!(!ended.escaped);
}
