//! Gates that open at a time.

use super::Beads;
use super::command::Words;
use super::dialect::Program;
use super::error::BeadsError;

impl Beads {
    /// Has the timer gates resolved that are due: `bd` never does that by itself, and a bead
    /// behind one would wait for ever.
    ///
    /// Gates that people or other programs open are left alone.
    pub async fn check_gates(&self) -> Result<(), BeadsError> {
        if self.dialect().program == Program::Bd {
            self.door().run(Words::check_gates()).await?;
        }
        Ok(())
    }
}
