//! The homelab itself: a test that stands on it can be believed.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::time::{Duration, Instant};

use e2e::child::{Daemon, Spec};
use e2e::proxy::{Proxy, Weather};
use e2e::world::LONG;
use e2e::{NewBead, World, ports, programs, sweep, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

e2e::on_every_beads_cli!(beads_are_written_and_read,);

async fn beads_are_written_and_read(world: World) {
    let first = world.create(NewBead::task("echo", json!({"text": "a \"b\"\n'c'"}))).await;
    let second = world.create(NewBead::titled("later: maybe").after(&first).label("slow")).await;

    let shown = world.show(&second).await;
    world.beads.update(&second, &["--status", "blocked"]).await.unwrap();
    world.beads.close(&first).await.unwrap();
    let all = world.beads.all().await.unwrap();

    assert_eq!((shown.status.as_str(), shown.assignee.as_str()), ("open", ""));
    assert!(shown.has("slow"));
    assert_eq!(shown.dependencies[0].id, first);
    assert_eq!((all[&first].status.as_str(), all[&second].status.as_str()), ("closed", "blocked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_homelab_that_is_dropped_leaves_no_command_of_its_executors() {
    let mut world = match World::any().await {
        Ok(world) => world,
        Err(why) => return e2e::suite::skipped("a_homelab_that_is_dropped_leaves_nothing", &why),
    };
    world.executor("one", "test-executor", &[]).await.unwrap();
    let params = json!({"started": world.text_path("started"), "until": world.text_path("go")});
    let order = json!({"task_id": "t", "type": "hold", "params": params});
    let prefer = [("Prefer", "respond-async")];
    world.ask("one").post_with("/execute", &order, &prefer).await.unwrap();
    world.file("started").await;
    let commands = sweep::commands_of(world.folder());

    drop(world);

    assert!(!commands.is_empty());
    assert!(!commands.iter().any(|pid| sweep::is_alive(*pid)), "{commands:?}");
}

/// A process that runs until it is ended, and whose child is in a session of its own.
fn sleeper(folder: &std::path::Path) -> Daemon {
    let args = ["-c", "setsid sleep 1000 & exec sleep 1000"];
    let spec = Spec {
        program: programs::find("sh").unwrap(),
        args: args.into_iter().map(Into::into).collect(),
        env: [(sweep::MARK.into(), folder.into()), ("PATH".into(), programs::path())].into(),
        cwd: folder.to_owned(),
        output: folder.join("sleeper.out"),
    };
    Daemon::new("sleeper", 0, spec)
}

#[tokio::test]
async fn a_sweep_ends_what_belongs_to_the_folder_and_nothing_else() {
    let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut mine, mut theirs) = (sleeper(ours.path()), sleeper(other.path()));
    mine.spawn().unwrap();
    theirs.spawn().unwrap();
    for folder in [&ours, &other] {
        until("both processes run", LONG, async || {
            (sweep::of(folder.path()).len() == 2).then_some(())
        })
        .await;
    }

    sweep::end(ours.path());

    mine.ends(LONG).await;
    assert!(theirs.is_running());
    assert_eq!(sweep::of(other.path()).len(), 2);
    sweep::end(other.path());
}

/// Answers each byte with the same byte.
async fn echo_server(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut byte = [0];
        while stream.read_exact(&mut byte).await.is_ok() {
            if stream.write_all(&byte).await.is_err() {
                break;
            }
        }
    }
}

async fn roundtrip(stream: &mut TcpStream, limit: Duration) -> Result<(), String> {
    let mut byte = [7];
    stream.write_all(&byte).await.map_err(|error| error.to_string())?;
    let read = tokio::time::timeout(limit, stream.read_exact(&mut byte)).await;
    read.map_err(|_| "no answer".to_owned())?.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_weather_of_a_proxy_is_felt() {
    let port = ports::free();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let talk = async {
        let proxy = Proxy::start(port).await.unwrap();
        let address = proxy.url().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        roundtrip(&mut stream, LONG).await.unwrap();

        proxy.set(Weather::Slow(Duration::from_millis(100)));
        let start = Instant::now();
        roundtrip(&mut stream, LONG).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());

        proxy.set(Weather::BlackHole);
        roundtrip(&mut stream, Duration::from_millis(300)).await.unwrap_err();
        proxy.set(Weather::Fine);
        // What waited in the black hole comes out, as it does in a network that heals.
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();

        proxy.set(Weather::Cut);
        let cut = async { stream.read(&mut byte).await.map_or(0, |count| count) };
        assert_eq!(tokio::time::timeout(LONG, cut).await.unwrap(), 0);
    };
    tokio::select! {
        () = echo_server(listener) => unreachable!("the listener lives"),
        () = talk => {}
    }
}
