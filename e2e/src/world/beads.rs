//! Writing beads in a homelab, and waiting for what becomes of them.

use std::fs;

use protocol::coordinator::{AttemptSummary, BeadView, Stage};

use super::{LONG, World};
use crate::cli::{Bead, NewBead};
use crate::{until, until_seldom};

impl World {
    /// Writes a bead.
    pub async fn create(&self, bead: NewBead) -> String {
        self.beads.create(&bead).await.expect("the Beads CLI writes a bead")
    }

    /// Reads a bead.
    pub async fn show(&self, id: &str) -> Bead {
        self.beads.show(id).await.expect("the Beads CLI shows a bead")
    }

    /// Asks why a bead is where it is.
    pub async fn why(&self, id: &str) -> BeadView {
        self.ygg().why(id).await.expect("the coordinator answers why")
    }

    /// Waits until the last attempt of a bead is settled, and returns the bead.
    pub async fn settled(&self, id: &str) -> Bead {
        let what = format!("the last attempt of {id} is settled");
        until_seldom(&what, LONG, async || {
            let view = self.ygg().why(id).await.ok()?;
            let last = view.attempts.last()?;
            (last.stage == Stage::Settled).then_some(())
        })
        .await;
        self.show(id).await
    }

    /// Waits until the bead has the status, and returns it.
    pub async fn reaches(&self, id: &str, status: &str) -> Bead {
        let what = format!("{id} is {status}");
        until_seldom(&what, LONG, async || {
            let bead = self.beads.show(id).await.ok()?;
            (bead.status == status).then_some(bead)
        })
        .await
    }

    /// Waits until the bead is blocked with a label, and returns it.
    ///
    /// One command of `bd` writes the status first and the label after it.
    pub async fn blocked(&self, id: &str, label: &str) -> Bead {
        let what = format!("{id} is blocked with {label}");
        until_seldom(&what, LONG, async || {
            let bead = self.beads.show(id).await.ok()?;
            (bead.status == "blocked" && bead.has(label)).then_some(bead)
        })
        .await
    }

    /// Waits until the bead is closed and has lost a label of its troubles.
    pub async fn closed_without(&self, id: &str, label: &str) -> Bead {
        let what = format!("{id} is closed, without {label}");
        until_seldom(&what, LONG, async || {
            let bead = self.beads.show(id).await.ok()?;
            (bead.status == "closed" && !bead.has(label)).then_some(bead)
        })
        .await
    }

    /// Waits until the coordinator gives this reason for the bead's state.
    pub async fn reason(&self, id: &str, code: &str) -> BeadView {
        let mut last = String::new();
        let what = format!("`{code}` is why {id} is where it is");
        let found = tokio::time::timeout(
            LONG,
            until_seldom(&what, LONG * 2, async || match self.ygg().why(id).await {
                Ok(view) if view.reason.code == code => Some(view),
                Ok(view) => {
                    last = format!("{}: {}", view.reason.code, view.reason.text);
                    None
                }
                Err(error) => {
                    last = format!("{error:#}");
                    None
                }
            }),
        )
        .await;
        found.unwrap_or_else(|_| panic!("waited in vain until {what}; it is `{last}`"))
    }

    /// Waits until an attempt of the bead runs on its executor.
    pub async fn running(&self, id: &str) -> AttemptSummary {
        let what = format!("{id} runs");
        until_seldom(&what, LONG, async || {
            let view = self.ygg().why(id).await.ok()?;
            view.attempts.last().filter(|attempt| attempt.stage == Stage::Running).cloned()
        })
        .await
    }

    /// Waits until a file is there, and returns its text.
    pub async fn file(&self, name: &str) -> String {
        let path = self.path(name);
        let what = format!("`{name}` is written");
        until(&what, LONG, async || fs::read_to_string(&path).ok().filter(|text| !text.is_empty()))
            .await
    }

    /// Writes a file of the homelab.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("the homelab's folder can be written");
        }
        fs::write(path, text).expect("the homelab's folder can be written");
    }
}
