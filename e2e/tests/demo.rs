//! What `make run` shows, on every Beads CLI.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use std::path::Path;
use std::time::Duration;

use e2e::child::{Daemon, Spec, describe};
use e2e::world::LONG;
use e2e::{World, programs, sweep, until};
use nix::sys::signal::Signal;

e2e::on_every_beads_cli!(
    every_bead_of_the_demo_ends_as_it_should,
    an_interrupted_demo_leaves_no_process,
    a_demo_that_was_kept_is_ended_by_the_next,
);

/// The demo below a folder of the world, whose own workspace is not used.
fn demo(world: &World, more: &[(&str, &str)]) -> Daemon {
    let folder = world.path("demo");
    let mut env = vec![
        ("PATH".into(), programs::path()),
        ("HOME".into(), world.path("home").into()),
        ("YGG_BD".into(), world.beads.cli.program.clone().into()),
    ];
    env.extend(more.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    let spec = Spec {
        program: programs::ours("demo"),
        args: vec!["--folder".into(), folder.into()],
        env: env.into_iter().collect(),
        cwd: world.folder().to_owned(),
        output: world.path("demo.out"),
    };
    Daemon::new("demo", 0, spec)
}

fn processes(folder: &Path) -> usize {
    if folder.exists() { sweep::of(&folder.canonicalize().unwrap()).len() } else { 0 }
}

async fn every_bead_of_the_demo_ends_as_it_should(world: World) {
    let mut demo = demo(&world, &[]);

    demo.spawn().unwrap();
    let status = demo.ends(Duration::from_mins(6)).await;

    assert!(status.success(), "{}:\n{}", describe(status), demo.output());
    assert!(!demo.output().contains("WRONG"), "{}", demo.output());
    assert_eq!(processes(&world.path("demo")), 0);
}

async fn an_interrupted_demo_leaves_no_process(world: World) {
    let folder = world.path("demo");
    let mut demo = demo(&world, &[]);
    demo.spawn().unwrap();
    until("a task of the demo runs", LONG, async || {
        let folder = folder.canonicalize().ok()?;
        (!sweep::commands_of(&folder).is_empty()).then_some(())
    })
    .await;

    demo.signal(Signal::SIGINT);
    let status = demo.ends(LONG).await;

    assert_ne!(status.code(), Some(0), "{}", demo.output());
    assert_eq!(processes(&folder), 0);
}

async fn a_demo_that_was_kept_is_ended_by_the_next(world: World) {
    let folder = world.path("demo");
    let mut first = demo(&world, &[("KEEP", "1")]);
    first.spawn().unwrap();
    let status = first.ends(Duration::from_mins(6)).await;
    let kept = processes(&folder);

    let mut clean = demo(&world, &[]);
    clean.spec_mut().args.push("--clean".into());
    clean.spawn().unwrap();
    let cleaned = clean.ends(LONG).await;

    assert!(status.success(), "{}:\n{}", describe(status), first.output());
    assert!(kept >= 4, "{kept} processes were kept");
    assert!(cleaned.success(), "{}", clean.output());
    assert!(!folder.exists());
}
