//! One event, one line.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::fields::Fields;
use crate::settings::LogFormat;

/// Writes each event as a line to every target.
pub(super) struct Lines {
    format: LogFormat,
    name: Arc<str>,
    targets: Vec<NonBlocking>,
    // How many dropped lines have been told.
    told: AtomicUsize,
}

impl Lines {
    pub(super) fn new(format: LogFormat, name: Arc<str>, targets: Vec<NonBlocking>) -> Self {
        Self { format, name, targets, told: AtomicUsize::new(0) }
    }

    fn write(&self, line: &Line<'_>) {
        let mut text = match self.format {
            LogFormat::Simple => line.simple(&self.name),
            LogFormat::Json => line.json(&self.name),
        };
        text.push('\n');
        for mut target in self.targets.iter().cloned() {
            // A queue takes the line or counts it as dropped.
            drop(target.write_all(text.as_bytes()));
        }
    }

    fn tell_dropped(&self) {
        let dropped =
            self.targets.iter().map(|target| target.error_counter().dropped_lines()).sum();
        let told = self.told.swap(dropped, Ordering::Relaxed);
        if dropped > told {
            let fields = Fields {
                message: format!(
                    "{} log lines were dropped: the log is written too slowly",
                    dropped - told
                ),
                ..Fields::default()
            };
            let target = module_path!();
            self.write(&Line { level: Level::WARN, target, fields });
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        // What the event says itself counts more than its spans, and the inner span more than the outer.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                for (name, value) in &of_span.others {
                    fields.others.entry(name.as_str()).or_insert_with(|| value.clone());
                }
            }
        }
        self.tell_dropped();
        let metadata = event.metadata();
        self.write(&Line { level: *metadata.level(), target: metadata.target(), fields });
    }
}

struct Line<'a> {
    level: Level,
    target: &'a str,
    fields: Fields,
}

impl Line<'_> {
    /// `2026-01-31T12:00:00.123Z  INFO surtr-executor: message name=value`
    fn simple(&self, name: &str) -> String {
        let mut text = format!("{} {:>5} {name}: ", now(), self.level.as_str());
        push_clean(&mut text, &self.fields.message);
        for (field, value) in &self.fields.others {
            text.push(' ');
            text.push_str(field);
            text.push('=');
            match value {
                Value::String(value) if is_plain(value) => text.push_str(value),
                // JSON's quotes and escapes.
                value => push_clean(&mut text, &value.to_string()),
            }
        }
        text
    }

    fn json(&self, name: &str) -> String {
        let mut object = Map::new();
        let own = [
            ("timestamp", now()),
            ("level", self.level.as_str().to_owned()),
            ("target", self.target.to_owned()),
            ("message", self.fields.message.clone()),
            ("executor", name.to_owned()),
        ];
        for (key, value) in own {
            object.insert(key.to_owned(), Value::String(value));
        }
        for (field, value) in &self.fields.others {
            let taken = object.contains_key(field);
            let field = if taken { format!("field.{field}") } else { field.clone() };
            object.insert(field, value.clone());
        }
        Value::Object(object).to_string()
    }
}

fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || "-_./:@+,%".contains(c))
}

// One event stays one line, and no text of others reaches a terminal as a command.
fn push_clean(text: &mut String, raw: &str) {
    for c in raw.chars() {
        if c.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", c.escape_default());
        } else {
            text.push(c);
        }
    }
}
