//! Signals to a real process.

use daemon::process::{ExitKind, run};
use daemon::shutdown::Shutdown;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio_util::sync::CancellationToken;

use crate::support::{Output, myself, until};

#[tokio::test]
async fn the_first_signal_drains_and_the_second_ends() {
    for (first, second) in [
        (Signal::SIGTERM, Signal::SIGTERM),
        (Signal::SIGINT, Signal::SIGTERM),
        (Signal::SIGTERM, Signal::SIGINT),
    ] {
        let (output, cancel) = (Output::default(), CancellationToken::new());
        let script = async {
            let pid =
                || output.text().lines().find_map(|line| line.strip_prefix("pid ")?.parse().ok());
            until("it listens", || pid().is_some()).await;
            let pid = Pid::from_raw(pid().unwrap());
            kill(pid, first).unwrap();
            until("it drains", || output.text().contains("draining")).await;
            assert!(!output.text().contains("ending now"));
            kill(pid, second).unwrap();
        };

        let command = myself("shutdown::listener");
        let (ended, ()) = tokio::join!(run(command, output.sink(), &cancel), script);

        assert_eq!(ended.unwrap().exit, ExitKind::Code(0), "{}", output.text());
        assert!(output.text().contains("ending now"));
    }
}

#[tokio::test]
#[ignore = "started by `the_first_signal_drains_and_the_second_ends`"]
async fn listener() {
    let shutdown = Shutdown::new();
    shutdown.listen().unwrap();
    let _work = shutdown.spawn(std::future::pending::<()>());
    println!("pid {}", std::process::id());

    shutdown.draining.cancelled().await;
    println!("draining");
    assert!(!shutdown.finished(std::time::Duration::MAX).await);
    println!("ending now");
}
