//! How the page is written: text format 0.0.4, or `OpenMetrics` for a scraper that asks for it.

use std::fmt::Write as _;

use super::families::{Family, Kind};
use super::spread::{Bounds, Spread};

/// The most of a label's value that is written, in characters.
const LABEL_CHARS: usize = 2000;

/// How the page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text format 0.0.4, which every scraper reads.
    Text,
    OpenMetrics,
}

impl Format {
    /// Reads what the scraper accepts: `OpenMetrics` only where it prefers that.
    pub fn of(accept: &str) -> Self {
        let (mut open, mut text) = (0.0_f32, 0.0_f32);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let quality: f32 = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
            if kind.eq_ignore_ascii_case("application/openmetrics-text") {
                open = quality.max(open);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                text = quality.max(text);
            }
        }
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    /// Returns the content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A sample's value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// A page that is being written. The samples of a family must follow each other.
#[derive(Debug)]
pub(super) struct Page {
    text: String,
    prefix: String,
    format: Format,
    family: &'static str,
}

impl Page {
    pub(super) fn new(prefix: &str, format: Format) -> Self {
        Self {
            text: String::with_capacity(16 * 1024),
            prefix: prefix.to_owned(),
            format,
            family: "",
        }
    }

    /// Writes a sample; the family's head before its first one.
    pub(super) fn sample(
        &mut self,
        family: &'static Family,
        labels: &[(&str, &str)],
        value: impl Into<Number>,
    ) {
        self.head(family);
        self.line(family.name, "", labels, None, value.into());
    }

    /// Writes a sample without labels.
    pub(super) fn one(&mut self, family: &'static Family, value: impl Into<Number>) {
        self.sample(family, &[], value);
    }

    /// Writes a histogram.
    pub(super) fn spread<B: Bounds>(
        &mut self,
        family: &'static Family,
        labels: &[(&str, &str)],
        spread: &Spread<B>,
    ) {
        self.head(family);
        let mut count = 0;
        for (bound, more) in B::BOUNDS.iter().zip(spread.buckets) {
            count += more;
            let bound = match self.format {
                Format::Text => format!("{bound}"),
                // OpenMetrics wants a decimal point.
                Format::OpenMetrics => format!("{bound:?}"),
            };
            self.line(family.name, "_bucket", labels, Some(&bound), count.into());
        }
        self.line(family.name, "_bucket", labels, Some("+Inf"), spread.count.into());
        self.line(family.name, "_sum", labels, None, spread.sum.into());
        self.line(family.name, "_count", labels, None, spread.count.into());
    }

    /// Returns the whole page.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn head(&mut self, family: &'static Family) {
        if self.family == family.name {
            return;
        }
        self.family = family.name;
        // OpenMetrics names the family of a counter without its ending.
        let name = match (self.format, family.kind) {
            (Format::OpenMetrics, Kind::Counter) => {
                family.name.strip_suffix("_total").unwrap_or(family.name)
            }
            _ => family.name,
        };
        let (prefix, kind, help) = (&self.prefix, family.kind.as_str(), family.help);
        put(
            &mut self.text,
            format_args!("# HELP {prefix}{name} {help}\n# TYPE {prefix}{name} {kind}\n"),
        );
    }

    fn line(
        &mut self,
        name: &str,
        ending: &str,
        labels: &[(&str, &str)],
        bound: Option<&str>,
        value: Number,
    ) {
        self.text.push_str(&self.prefix);
        self.text.push_str(name);
        self.text.push_str(ending);
        let mut before = '{';
        let bound = bound.map(|bound| ("le", bound));
        for (label, value) in labels.iter().copied().chain(bound) {
            self.text.push(before);
            before = ',';
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(&mut self.text, value);
            self.text.push('"');
        }
        if before == ',' {
            self.text.push('}');
        }
        match value {
            Number::Whole(value) => put(&mut self.text, format_args!(" {value}\n")),
            Number::Real(value) if value.is_finite() => {
                put(&mut self.text, format_args!(" {value}\n"));
            }
            Number::Real(value) if value.is_nan() => self.text.push_str(" NaN\n"),
            Number::Real(value) if value > 0.0 => self.text.push_str(" +Inf\n"),
            Number::Real(_) => self.text.push_str(" -Inf\n"),
        }
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _: Result<(), _> = text.write_fmt(what);
}

/// Writes a label's value: never more than a part of it, and never what a scraper stumbles over.
fn escape(text: &mut String, value: &str) {
    if value.len() <= LABEL_CHARS && !value.contains(['\\', '"', '\n', '\0']) {
        text.push_str(value);
        return;
    }
    for c in value.chars().take(LABEL_CHARS) {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            // Prometheus takes this one for the end of the page.
            '\0' => text.push(char::REPLACEMENT_CHARACTER),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spread::Quick;
    use super::*;

    static GAUGE: Family = Family::gauge("g", "A gauge");
    static COUNTER: Family = Family::counter("things_total", "Things");
    static TIMES: Family = Family::histogram("took_seconds", "Times");

    fn write(format: Format) -> String {
        let mut page = Page::new("x_", format);
        page.sample(&GAUGE, &[("a", "line \"1\"\nline\\2")], 1.5);
        page.sample(&GAUGE, &[("a", "nul\0")], 0_u64);
        page.one(&COUNTER, 3_u64);
        let mut spread = Spread::<Quick>::default();
        spread.take(std::time::Duration::from_millis(700));
        page.spread(&TIMES, &[("c", "ready")], &spread);
        page.finish()
    }

    #[test]
    fn the_text_format_is_written_as_every_scraper_reads_it() {
        let page = write(Format::Text);

        assert!(page.starts_with(
            "# HELP x_g A gauge\n# TYPE x_g gauge\nx_g{a=\"line \\\"1\\\"\\nline\\\\2\"} 1.5\n\
             x_g{a=\"nul\u{fffd}\"} 0\n# HELP x_things_total Things\n# TYPE x_things_total counter\n\
             x_things_total 3\n"
        ));
        assert!(page.contains("x_took_seconds_bucket{c=\"ready\",le=\"0.5\"} 0\n"));
        assert!(page.contains("x_took_seconds_bucket{c=\"ready\",le=\"1\"} 1\n"));
        assert!(page.ends_with(
            "le=\"+Inf\"} 1\nx_took_seconds_sum{c=\"ready\"} 0.7\nx_took_seconds_count{c=\"ready\"} 1\n"
        ));
    }

    #[test]
    fn open_metrics_names_counters_without_their_ending() {
        let page = write(Format::OpenMetrics);

        assert!(page.contains("# TYPE x_things counter\nx_things_total 3\n"));
        assert!(page.contains("le=\"1.0\"} 1\n"));
        assert!(page.ends_with("\n# EOF\n"));
    }

    #[test]
    fn open_metrics_is_written_only_for_who_prefers_it() {
        for (accept, expected) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                 version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("text/plain, application/openmetrics-text; q=0.5", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
        ] {
            assert_eq!(Format::of(accept), expected, "{accept}");
        }
    }
}
