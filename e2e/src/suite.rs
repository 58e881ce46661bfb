//! Runs a test on every Beads CLI that is found.

use crate::cli::{BeadsCli, Kind};
use crate::world::World;

/// Makes a module `bd` and a module `mb`, each with the named tests.
///
/// A test is an `async fn(World)`. Where the CLI is missing it says so and passes.
#[macro_export]
macro_rules! on_every_beads_cli {
    ($($name:ident),+ $(,)?) => {
        mod bd {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    $crate::suite::run($crate::Kind::Bd, stringify!($name), super::$name).await;
                }
            )+
        }
        mod mb {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    $crate::suite::run($crate::Kind::Mb, stringify!($name), super::$name).await;
                }
            )+
        }
    };
}

/// Runs one test in a homelab of its own, or says why it is skipped.
pub async fn run(kind: Kind, name: &str, test: impl AsyncFnOnce(World)) {
    match BeadsCli::find(kind).await {
        Ok(cli) => test(World::on(&cli).await.expect("a homelab can be made")).await,
        Err(why) => skipped(&format!("{}::{name}", word(kind)), &why),
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Bd => "bd",
        Kind::Mb => "mb",
    }
}

/// Says that a test did not run, in the form that `make test` collects.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn skipped(name: &str, why: &str) {
    eprintln!("skipped: {name}: {why}");
}
