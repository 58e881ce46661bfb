//! `make run`: a throw-away homelab that shows what Yggdrasil does.
//!
//! Makes a Beads workspace, two small projects, a coordinator and three executors below one
//! folder, writes beads with the Beads CLI, kills one executor in the middle, and ends with what
//! became of each bead. Exits with 0 only if every bead ended as it should.

mod rows;
mod show;
mod stage;
mod story;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use daemon::exit::{Exit, report};
use daemon::shutdown::{Shutdown, runtime};
use e2e::cli::{Bead, BeadsCli, Kind};
use e2e::world::COORDINATOR;
use e2e::{World, programs, sweep};

use rows::{Row, State};
use show::Screen;
use stage::Stage;
use story::Expected;

/// Tries Yggdrasil in a throw-away homelab.
#[derive(Debug, Parser)]
struct Demo {
    /// The folder of the homelab; it is removed and made anew.
    #[arg(long, default_value = "demo")]
    folder: PathBuf,
    /// Leaves everything running at the end.
    #[arg(long, env = "KEEP", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    keep: bool,
    /// Ends what an earlier run left, removes the folder, and does nothing else.
    #[arg(long)]
    clean: bool,
}

/// How long the story may take on a slow machine.
const LIMIT: Duration = Duration::from_mins(5);
/// How often the coordinator is asked where the beads stand.
const LOOK: Duration = Duration::from_millis(250);
/// A file that only this program makes: without it a folder is not removed.
const OURS: &str = ".yggdrasil-demo";

fn main() -> ExitCode {
    let demo = Demo::parse();
    let mut right = false;
    let result = runtime(2).and_then(|runtime| {
        let run = async {
            let shutdown = Shutdown::new();
            shutdown.listen()?;
            demo.run(&shutdown).await.map_err(|error| Exit::software(format!("{error:#}")))
        };
        right = runtime.block_on(run)?;
        Ok(())
    });
    match report("demo", result) {
        ExitCode::SUCCESS if right => ExitCode::SUCCESS,
        ExitCode::SUCCESS => ExitCode::FAILURE,
        failed => failed,
    }
}

impl Demo {
    /// Returns whether every bead ended as it should.
    async fn run(&self, shutdown: &Shutdown) -> anyhow::Result<bool> {
        let folder = fresh(&self.folder)?;
        if self.clean {
            fs::remove_dir_all(&folder)?;
            return Ok(true);
        }
        let mut screen = Screen::new();
        let cli = first_cli().await?;
        screen.say(&format!(
            "A homelab in {}, with {} ({})",
            folder.display(),
            cli.name,
            cli.program.display()
        ));
        let mut world = World::in_folder(&cli, &folder).await?;

        let (right, waiting) = tokio::select! {
            ended = story(&mut world, &mut screen) => ended?,
            () = shutdown.draining.cancelled() => {
                screen.say("\nStopped; ending everything.");
                world.stop().await;
                return Ok(false);
            }
        };
        if self.keep {
            screen.say(&format!("Everything runs on (KEEP=1). {}", hint(&world, &waiting)));
            screen.say("`make clean-demo` ends it.");
            world.leave_running();
        } else if screen.is_live() {
            screen.say(&format!("Everything runs on until Ctrl-C. {}", hint(&world, &waiting)));
            shutdown.draining.cancelled().await;
            screen.say("\nEnding everything.");
            world.stop().await;
        } else {
            world.stop().await;
        }
        Ok(right)
    }
}

/// Ends what an earlier run left in the folder, and makes it anew.
fn fresh(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        let folder = folder.canonicalize()?;
        let is_empty = fs::read_dir(&folder)?.next().is_none();
        ensure!(
            is_empty || folder.join(OURS).exists(),
            "`{}` was not made by this program, so it is not removed",
            folder.display()
        );
        sweep::end(&folder);
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    fs::write(folder.join(OURS), "made anew by each `make run`\n")?;
    Ok(folder.canonicalize()?)
}

async fn first_cli() -> anyhow::Result<BeadsCli> {
    let mut why = Vec::new();
    for cli in BeadsCli::all().await {
        match cli {
            Ok(cli) => return Ok(cli),
            Err(error) => why.push(error),
        }
    }
    bail!("no Beads CLI was found; `make run` installs one ({})", why.join("; "))
}

/// The one command to try next.
fn hint(world: &World, bead: &str) -> String {
    let ygg = programs::folder().join("ygg");
    format!("Try: {} --url {} why {bead}", ygg.display(), world.ygg().url())
}

/// Tells the story, and returns whether every bead ended as it should, and the bead that waits.
async fn story(world: &mut World, screen: &mut Screen) -> anyhow::Result<(bool, String)> {
    let stage = Stage::set(world.folder()).await?;
    let policy = stage.policy.to_str().context("the folder's name is not UTF-8")?.to_owned();
    // Its address is known from here on, so that the executors can register as soon as it is there.
    world.prepare_coordinator(&[])?;
    let coordinator = world.ygg().url().to_owned();
    for name in ["fenrir", "surtr", "huginn"] {
        let args = ["--policy", &policy, "--coordinator", &coordinator];
        world.executor(name, &format!("{name}-executor"), &args).await?;
    }
    for route in [
        "git-*: fenrir",
        "dev-*: fenrir",
        "run-tests: fenrir",
        "llm-*: surtr",
        "ollama-*: surtr",
        "ops-*: huginn",
        "network-*: huginn",
        "power-*: huginn",
        "run-*: huginn",
    ] {
        world.routing.route(route);
    }
    world.routing.retry("backoff: { first: 1s, factor: 1, max: 1s }");
    world.write_routing()?;
    world.start(COORDINATOR).await?;
    screen.say(&format!(
        "The coordinator listens on {}; now the beads are written.",
        world.ygg().url()
    ));

    let (mut rows, before) = write(world, screen, &stage).await?;
    act(world, screen, &mut rows).await?;
    let right = tell(world, screen, &rows, &before).await?;
    let waiting = rows.iter().find(|row| row.step.expected == Expected::Waiting);
    Ok((right, waiting.map(|row| row.id.clone()).unwrap_or_default()))
}

/// Writes the beads, in the order of the story.
async fn write(
    world: &World,
    screen: &mut Screen,
    stage: &Stage,
) -> anyhow::Result<(Vec<Row>, Vec<Bead>)> {
    let port = world.port(COORDINATOR);
    let mut rows: Vec<Row> = Vec::new();
    for step in story::steps(stage, port) {
        let mut bead = step.bead.clone();
        for key in step.after {
            let other = rows
                .iter()
                .find(|row| row.step.key == *key)
                .context("a step waits for an earlier one")?;
            bead = bead.after(&other.id);
        }
        let id = world.beads.create(&bead).await?;
        rows.push(Row::new(step, id));
        screen.show(&rows);
    }
    let all = world.beads.all().await?;
    let before = rows.iter().filter_map(|row| all.get(&row.id).cloned()).collect();
    Ok((rows, before))
}

/// Follows the beads to their ends, and kills an executor on the way.
async fn act(world: &mut World, screen: &mut Screen, rows: &mut [Row]) -> anyhow::Result<()> {
    let ygg = world.ygg();
    let start = Instant::now();
    let mut killed = false;
    loop {
        rows::refresh(rows, &ygg).await?;
        screen.show(rows);
        let others_ended = rows.iter().all(|row| row.has_ended() || !ends_before_the_kill(row));
        let victim = rows.iter().find(|row| row.step.key == story::KILLED_IN);
        let runs = victim.is_some_and(|row| matches!(row.state, State::Runs(_)));
        if !killed && others_ended && runs {
            screen.say(&format!(
                "-- {} is killed (SIGKILL) in the middle of its task, and started again",
                story::KILLED
            ));
            world.kill(story::KILLED);
            world.start(story::KILLED).await?;
            killed = true;
        }
        if rows.iter().all(|row| row.has_ended() || !moves(row)) {
            return Ok(());
        }
        if start.elapsed() > LIMIT {
            screen.say("The story takes too long; what stands now is what is judged.");
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether it comes to an end by itself.
fn moves(row: &Row) -> bool {
    !matches!(row.step.expected, Expected::Waiting | Expected::Untouched)
}

/// Whether the kill waits for it, so that the story ends the same each time.
fn ends_before_the_kill(row: &Row) -> bool {
    moves(row) && row.step.expected != Expected::Lost
}

/// Ends with what became of each, and returns whether all is as it should be.
async fn tell(
    world: &World,
    screen: &mut Screen,
    rows: &[Row],
    before: &[Bead],
) -> anyhow::Result<bool> {
    let after = world.beads.all().await?;
    screen.say("\nWhat became of the beads, by what stands in Beads now. START is the time from");
    screen.say("when a bead could start (written, and all it waits for done) to its start.\n");
    screen.say(&verdict::head());
    let mut right = 0;
    for (row, before) in rows.iter().zip(before) {
        let bead = after.get(&row.id).with_context(|| format!("{} is gone", row.id))?;
        let verdict = verdict::judge(row, rows, bead, before);
        screen.say(&verdict.line);
        screen.say(&format!("          {}", verdict.why));
        right += usize::from(verdict.is_right);
    }
    screen.say(&format!("\n{right} of {} beads ended as they should.", rows.len()));
    if world.beads.cli.kind == Kind::Mb {
        screen.say("This was minibeads, which is for trying out only. Real bd: https://github.com/gastownhall/beads");
    }
    Ok(right == rows.len())
}
