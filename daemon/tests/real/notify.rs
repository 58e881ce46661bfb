//! What a service manager hears.

use daemon::notify;
use daemon::process::ExitKind;
use daemon::shutdown::Shutdown;
use tokio::net::UnixDatagram;

use crate::support::{PATIENCE, gather, myself};

#[tokio::test]
async fn the_service_manager_hears_ready_pings_and_stopping() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let command =
        myself("notify::service").env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "40000");
    let listen = async {
        let mut heard = Vec::new();
        let mut buffer = [0; 512];
        while heard.last().is_none_or(|last| last != "STOPPING=1") {
            let length = socket.recv(&mut buffer).await.unwrap();
            heard.push(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
        }
        heard
    };

    let (ended, heard) = tokio::join!(gather(command), tokio::time::timeout(PATIENCE, listen));

    let (ended, text) = ended.unwrap();
    assert_eq!(ended.exit, ExitKind::Code(0), "{text}");
    let heard = heard.unwrap();
    assert_eq!(heard[..2], ["READY=1", "STATUS=one line"]);
    assert!(heard.iter().filter(|one| *one == "WATCHDOG=1").count() >= 3, "{heard:?}");
}

#[tokio::test]
#[ignore = "started by `the_service_manager_hears_ready_pings_and_stopping`"]
async fn service() {
    let shutdown = Shutdown::new();
    notify::ready();
    notify::status("one\nline");
    notify::watchdog(&shutdown);

    // Pings go on while the process drains.
    shutdown.draining.cancel();
    let busy = shutdown.spawn(tokio::time::sleep(std::time::Duration::from_millis(200)));
    assert!(shutdown.finished(PATIENCE).await);

    busy.await.unwrap();
    notify::stopping();
}
