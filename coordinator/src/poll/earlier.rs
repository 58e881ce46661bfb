//! What earlier lives of a coordinator left in the beads, ours and others'.

use std::time::Duration;

use tracing::info;

use super::trouble_text;
use crate::app::App;
use crate::beads::{Adoption, Bead, Beads, BeadsError, Block};
use crate::board::{Held, Source};
use crate::ledger::Stage;
use crate::order::{self, Read};
use crate::plan;
use crate::settle::{Class, Hold};

const AGAIN: Duration = Duration::from_secs(5);

/// Takes over from the ledger which beads we shall reopen; whether that worked.
pub(super) async fn take_up_holds(app: &App) -> bool {
    let held = match app.ledger.held().await {
        Ok(held) => held,
        Err(error) => {
            app.board.trouble(Source::Ledger, error.to_string());
            return false;
        }
    };
    for attempt in held {
        if let Some(hold) = attempt.hold.clone() {
            app.board.hold(Held {
                bead: attempt.bead.clone(),
                title: attempt.title.clone(),
                task_type: attempt.task_type.clone(),
                hold,
                mark: attempt.id,
                attempt: Some(attempt),
            });
        }
    }
    true
}

/// Takes over what stands in the beads alone: what another ledger's coordinator would have
/// reopened, and what is claimed under our name without an attempt. For as long as that takes.
pub(super) async fn take_up_strays(app: &App, beads: &Beads) {
    loop {
        match stray_once(app, beads).await {
            Ok(()) => return,
            Err(error) => app.board.trouble(Source::Beads, trouble_text(&error)),
        }
        tokio::select! {
            () = app.shutdown.draining.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn stray_once(app: &App, beads: &Beads) -> Result<(), BeadsError> {
    for bead in beads.labelled_blocked(Class::Waiting.label()).await? {
        if app.board.held_of(&bead.id).is_none()
            && let Some(held) = foreign_hold(app, bead)
        {
            app.board.hold(held);
        }
    }
    for bead in beads.mine().await? {
        settle_stray(app, beads, &bead).await?;
    }
    Ok(())
}

/// A bead that is claimed under our name, and that no open attempt of the ledger accounts for.
async fn settle_stray(app: &App, beads: &Beads, bead: &Bead) -> Result<(), BeadsError> {
    let Some(attempt) = bead.attempt() else { return Ok(()) };
    if app.board.active_of(&bead.id).is_some() {
        return Ok(());
    }
    let known = match app.ledger.attempt(attempt).await {
        Ok(known) => known,
        Err(error) => {
            app.board.trouble(Source::Ledger, error.to_string());
            return Ok(());
        }
    };
    let claim = match beads.adopt(&bead.id, attempt).await? {
        Adoption::Ours(claim, _) => claim,
        Adoption::NotOurs { .. } | Adoption::Gone => return Ok(()),
    };
    let written = match known {
        // Given back in the ledger, and the write was lost on the way.
        Some(known) if known.stage == Stage::Dropped => beads.release(claim).await,
        Some(_) => return Ok(()),
        // A ledger from a backup: nobody knows whether it runs.
        None => {
            let note = format!(
                "claimed under this coordinator's name, but its ledger does not know attempt \
                 {attempt}: make sure that it does not run any more, then set the status to open \
                 and clear the assignee"
            );
            let block = Block { label: Class::Lost.label(), note, metadata: Vec::new() };
            beads.block(claim, &block).await
        }
    };
    written.map_err(|unsettled| unsettled.error)?;
    info!("{} was claimed and forgotten: settled", bead.id);
    Ok(())
}

/// A bead that the coordinator of another ledger would have reopened.
///
/// None when it is none of ours: no task, or no attempt's mark.
fn foreign_hold(app: &App, bead: Bead) -> Option<Held> {
    let mark = bead.attempt()?;
    let Read::Order(order) = order::read(&bead) else { return None };
    let states = app.fleet.states();
    let executors = match order.executor.as_deref() {
        Some(name) => plan::called(&app.routing, &states, name),
        None => plan::on_route(&app.routing, &states, &order.task_type),
    };
    let executors = executors.into_iter().cloned().collect();
    let retry_at = bead.metadata.get("retry_at").and_then(|at| at.as_str());
    Some(Held {
        hold: Hold {
            not_before: retry_at.and_then(|at| at.parse().ok()).unwrap_or(app.started),
            executors,
            label: Class::Waiting.label().to_owned(),
        },
        task_type: order.task_type,
        bead: bead.id,
        title: bead.title,
        mark,
        attempt: None,
    })
}
