//! `ygg logs`: what did the task print?
//!
//! A log is read by byte offset, so an answer that breaks off is gone on with where it broke, and
//! no byte is shown twice.

use std::io::Write;
use std::time::Duration;

use protocol::coordinator::{AttemptDetail, AttemptSummary, BeadView, Stage};
use protocol::log::{DROPPED, ENDED, NEXT, OFFSET, SIZE};
use reqwest::Response;
use serde_json::{Map, Value, json};

use crate::args::Logs;
use crate::client::Client;
use crate::screen::{Cleaner, Screen, decode};
use crate::trouble::{NOTHING, Trouble, UNAVAILABLE};

/// How long a followed log may be out of reach.
const PATIENCE: u32 = 60;
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) async fn answer(
    client: &Client,
    asked: &Logs,
    json: bool,
    screen: Screen,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Trouble> {
    let attempt = attempt(client, asked).await?;
    if asked.follow {
        started(client, &attempt).await?;
    }
    let mut sink = Sink::new(attempt.clone(), asked, json, screen, out, err);
    let mut log = Log { client, attempt, offset: asked.offset, follow: asked.follow };
    log.read(&mut sink).await?;
    sink.end()
}

/// Returns the attempt that is meant.
async fn attempt(client: &Client, asked: &Logs) -> Result<String, Trouble> {
    if let Some(attempt) = &asked.attempt {
        return Ok(attempt.clone());
    }
    let id = asked.bead.as_deref().unwrap_or_default();
    let bead: BeadView = client.get(&["api", "beads", id]).await?;
    let open = |attempt: &&AttemptSummary| {
        !matches!(attempt.stage, Stage::Settled | Stage::Dropped | Stage::Ended)
    };
    let newest = bead.attempts.iter().rev();
    let coming = newest.clone().find(|attempt| asked.follow && open(attempt));
    match coming.or_else(|| newest.clone().find(|attempt| attempt.started.is_some())) {
        Some(attempt) => Ok(attempt.attempt.to_string()),
        None => Err(Trouble::new(
            NOTHING,
            format!("nothing of `{id}` has started: {}", bead.reason.text),
        )
        .hinted(format!("`ygg why {id}` says more"))),
    }
}

/// Waits until an executor was asked: before, there is no log.
async fn started(client: &Client, attempt: &str) -> Result<(), Trouble> {
    loop {
        let detail: AttemptDetail = client.get(&["api", "attempts", attempt]).await?;
        if !matches!(detail.summary.stage, Stage::Recorded | Stage::Claimed) {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A log, and how far it was read.
struct Log<'c> {
    client: &'c Client,
    attempt: String,
    offset: u64,
    follow: bool,
}

impl Log<'_> {
    async fn read(&mut self, sink: &mut Sink<'_>) -> Result<(), Trouble> {
        let mut failures = 0;
        loop {
            let before = self.offset;
            let read = self.piece(sink).await;
            if self.offset > before {
                failures = 0;
            }
            match read {
                Ok(true) => return Ok(()),
                // It will grow, or the answer was only a part of it.
                Ok(false) if self.offset > before => {}
                Ok(false) if !self.follow => return Ok(()),
                Ok(false) => tokio::time::sleep(PAUSE).await,
                Err(trouble) if self.follow && trouble.code == UNAVAILABLE => {
                    failures += 1;
                    if failures > PATIENCE {
                        return Err(trouble);
                    }
                    sink.tell_once(&trouble)?;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Reads one answer; true when nothing will follow.
    async fn piece(&mut self, sink: &mut Sink<'_>) -> Result<bool, Trouble> {
        let mut response = self.client.log(&self.attempt, self.offset, self.follow).await?;
        let from = header(&response, OFFSET).unwrap_or(self.offset);
        let ended = response.headers().get(ENDED).is_some_and(|value| value == "true");
        let size = header(&response, SIZE);
        let next = header(&response, NEXT);
        sink.place(&response, self.offset, from)?;
        self.offset = self.offset.max(from);
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                let trouble = self.client.silence(&error);
                let at = self.offset;
                trouble.hinted(format!("the log broke off; go on with --offset {at}"))
            })?;
            let Some(chunk) = chunk else { break };
            let at = self.offset;
            self.offset += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            sink.write(at, &chunk)?;
        }
        // Behind a dropped part the next offset is farther than what was read.
        self.offset = self.offset.max(next.unwrap_or(0));
        let is_whole = size.is_none_or(|size| self.offset >= size);
        Ok(is_whole && (ended || !self.follow))
    }
}

fn header(response: &Response, name: &str) -> Option<u64> {
    response.headers().get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Where the log goes, and in which shape.
struct Sink<'o> {
    shape: Shape,
    attempt: String,
    follow: bool,
    told: bool,
    told_dropped: bool,
    /// For `--json`: the begin of a character whose end has not come yet.
    cut: Vec<u8>,
    members: Map<String, Value>,
    text: String,
    out: &'o mut dyn Write,
    err: &'o mut dyn Write,
}

#[derive(Debug)]
enum Shape {
    /// As the task wrote it.
    Raw,
    /// Harmless.
    Clean(Cleaner),
    Json,
}

impl<'o> Sink<'o> {
    fn new(
        attempt: String,
        asked: &Logs,
        json: bool,
        screen: Screen,
        out: &'o mut dyn Write,
        err: &'o mut dyn Write,
    ) -> Self {
        let shape = match (json, screen.is_terminal) {
            (true, _) => Shape::Json,
            (false, true) => Shape::Clean(Cleaner::default()),
            (false, false) => Shape::Raw,
        };
        Self {
            shape,
            attempt,
            follow: asked.follow,
            told: false,
            told_dropped: false,
            cut: Vec::new(),
            members: Map::new(),
            text: String::new(),
            out,
            err,
        }
    }

    /// Takes note of where an answer lies in the whole.
    fn place(&mut self, response: &Response, asked: u64, from: u64) -> Result<(), Trouble> {
        for (name, member) in [(OFFSET, "offset"), (SIZE, "size")] {
            if let Some(number) = header(response, name)
                && (member == "size" || !self.members.contains_key(member))
            {
                self.members.insert(member.to_owned(), number.into());
            }
        }
        let dropped = response.headers().get(DROPPED).and_then(|value| value.to_str().ok());
        if let Some(dropped) = dropped {
            self.members.insert("dropped".to_owned(), dropped.into());
        }
        let passes_gap = from > asked || dropped.is_some();
        if passes_gap && !self.told_dropped && !matches!(self.shape, Shape::Json) {
            self.told_dropped = true;
            let range = dropped.map_or_else(|| format!("{asked}-{from}"), str::to_owned);
            let range = crate::screen::line(&range);
            writeln!(self.err, "ygg: bytes {range} were dropped by the cap of the log")?;
        }
        Ok(())
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Trouble> {
        match &mut self.shape {
            Shape::Raw => self.out.write_all(bytes)?,
            Shape::Clean(cleaner) => self.out.write_all(cleaner.bytes(bytes).as_bytes())?,
            Shape::Json => {
                let text = decode(&mut self.cut, bytes);
                if !self.follow {
                    self.text.push_str(&text);
                    return Ok(());
                }
                let line = json!({"attempt": self.attempt, "offset": at, "text": text});
                writeln!(self.out, "{line}")?;
            }
        }
        Ok(self.out.flush()?)
    }

    /// Says once that the log is out of reach, and that it is waited for.
    fn tell_once(&mut self, trouble: &Trouble) -> Result<(), Trouble> {
        if !self.told {
            self.told = true;
            write!(self.err, "{trouble}")?;
            writeln!(self.err, "  trying again for {PATIENCE} s")?;
        }
        Ok(())
    }

    fn end(mut self) -> Result<(), Trouble> {
        if matches!(self.shape, Shape::Json) && !self.follow {
            self.text.push_str(&String::from_utf8_lossy(&self.cut));
            self.members.insert("attempt".to_owned(), self.attempt.into());
            self.members.insert("text".to_owned(), self.text.into());
            writeln!(self.out, "{:#}", Value::Object(self.members))?;
        }
        Ok(())
    }
}
