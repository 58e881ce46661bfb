//! `info`, or `info,daemon=debug`.

use tracing_subscriber::filter::{LevelFilter, Targets};

/// Libraries that tell of every connection at `debug`; only a level of their own gets that.
const TALKATIVE: [&str; 4] = ["hyper", "hyper_util", "reqwest", "h2"];

/// Reads levels, one for all and others per target. Unlike the library's own reader it refuses a
/// bare word that is no level, which would silence everything but a target of that name.
pub(super) fn parse(text: &str) -> Result<Targets, String> {
    let mut targets = Targets::new();
    for target in TALKATIVE {
        targets = targets.with_target(target, LevelFilter::INFO);
    }
    for part in text.split(',').map(str::trim) {
        targets = match part.split_once('=') {
            Some((target, level)) => targets.with_target(target.trim(), read(level, part)?),
            None => targets.with_default(read(part, part)?),
        };
    }
    Ok(targets)
}

fn read(level: &str, part: &str) -> Result<LevelFilter, String> {
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    let level = level.trim().to_ascii_lowercase();
    match level.parse() {
        Ok(filter) if known.contains(&level.as_str()) => Ok(filter),
        _ => Err(format!("`{part}` is no log level")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_level_counts_for_all_and_a_target_has_its_own() {
        let targets = parse("info, hyper=warn,daemon=TRACE").unwrap();

        assert!(targets.would_enable("coordinator", &Level::INFO));
        assert!(!targets.would_enable("coordinator", &Level::DEBUG));
        assert!(!targets.would_enable("hyper::proto", &Level::INFO));
        assert!(targets.would_enable("daemon::store", &Level::TRACE));
    }

    #[test]
    fn a_level_for_all_spares_the_talkative() {
        let targets = parse("debug").unwrap();

        assert!(targets.would_enable("coordinator", &Level::DEBUG));
        assert!(!targets.would_enable("hyper_util::client", &Level::DEBUG));
        assert!(parse("debug,hyper=trace").unwrap().would_enable("hyper::proto", &Level::TRACE));
    }

    #[test]
    fn a_slip_is_refused_and_named() {
        for text in ["", "inof", "info,", "daemon=loud", "3", "info debug"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("info,daemon=loud").unwrap_err(), "`daemon=loud` is no log level");
    }
}
