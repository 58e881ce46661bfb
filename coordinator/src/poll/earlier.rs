//! What earlier lives of a coordinator left in the beads, ours and others'.

use tracing::info;

use super::trouble_text;
use crate::app::App;
use crate::beads::{Adoption, Bead, Beads, Block};
use crate::board::{Held, Source};
use crate::ledger::{Hold, Stage};
use crate::order::{self, Read};
use crate::settle::Class;

/// Takes over from the ledger which beads we shall reopen.
pub(super) async fn take_up_holds(app: &App) {
    match app.ledger.held().await {
        Ok(held) => {
            for attempt in held {
                if let Some(hold) = attempt.hold.clone() {
                    app.board.hold(Held {
                        bead: attempt.bead.clone(),
                        title: attempt.title.clone(),
                        hold,
                        attempt: Some(attempt),
                    });
                }
            }
        }
        Err(error) => app.board.trouble(Source::Ledger, error.to_string()),
    }
}

/// Takes over what stands in the beads alone: what another ledger's coordinator would have
/// reopened, and what is claimed under our name without an attempt.
pub(super) async fn take_up_strays(app: &App, beads: &Beads) {
    match beads.labelled_blocked(Class::Waiting.label()).await {
        Ok(waiting) => {
            for bead in waiting {
                if app.board.held_of(&bead.id).is_none() {
                    app.board.hold(foreign_hold(app, bead));
                }
            }
        }
        Err(error) => app.board.trouble(Source::Beads, trouble_text(&error)),
    }
    match beads.mine().await {
        Ok(mine) => {
            for bead in mine {
                settle_stray(app, beads, &bead).await;
            }
        }
        Err(error) => app.board.trouble(Source::Beads, trouble_text(&error)),
    }
}

/// A bead that is claimed under our name, and that no open attempt of the ledger accounts for.
async fn settle_stray(app: &App, beads: &Beads, bead: &Bead) {
    let Some(attempt) = bead.attempt() else { return };
    if app.board.active_of(&bead.id).is_some() {
        return;
    }
    let known = match app.ledger.attempt(attempt).await {
        Ok(known) => known,
        Err(error) => return app.board.trouble(Source::Ledger, error.to_string()),
    };
    let claim = match beads.adopt(&bead.id, attempt).await {
        Ok(Adoption::Ours(claim, _)) => claim,
        Ok(Adoption::NotOurs { .. } | Adoption::Gone) => return,
        Err(error) => return app.board.trouble(Source::Beads, trouble_text(&error)),
    };
    let written = match known {
        // Given back in the ledger, and the write was lost on the way.
        Some(known) if known.stage == Stage::Dropped => beads.release(claim).await,
        Some(_) => return,
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
    match written {
        Ok(()) => info!("{} was claimed and forgotten: settled", bead.id),
        Err(unsettled) => app.board.trouble(Source::Beads, trouble_text(&unsettled.error)),
    }
}

/// A bead that the coordinator of another ledger would have reopened.
fn foreign_hold(app: &App, bead: Bead) -> Held {
    let retry_at = bead.metadata.get("retry_at").and_then(|at| at.as_str());
    let executors = match order::read(&bead) {
        Read::Order(order) => match order.executor.as_deref().map(|name| app.routing.named(name)) {
            Some(named) => named.cloned().into_iter().collect(),
            None => app.routing.route(&order.task_type).unwrap_or_default().to_vec(),
        },
        Read::NotOurs | Read::Broken { .. } => Vec::new(),
    };
    Held {
        hold: Hold {
            not_before: retry_at.and_then(|at| at.parse().ok()).unwrap_or(app.started),
            executors,
            label: Class::Waiting.label().to_owned(),
        },
        bead: bead.id,
        title: bead.title,
        attempt: None,
    }
}
