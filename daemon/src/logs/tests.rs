use std::fs;
use std::io::Write as _;

use serde_json::Value;
use tracing::{debug, info, info_span, warn};

use super::*;

// Runs `work` with a log of its own and returns what it wrote, line by line.
fn lines_of(level: &str, format: LogFormat, work: impl FnOnce()) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let opened = file::open(file.path(), Path::new("/nonexistent"));
    let (target, worker) = queue("test", opened.file.unwrap());
    let subscriber = subscriber(level, format, "test-executor", vec![target]).unwrap();

    tracing::subscriber::with_default(subscriber, work);

    drop(worker);
    fs::read_to_string(file.path()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_simple_line_names_program_level_message_and_fields() {
    let lines = lines_of("info", LogFormat::Simple, || {
        info!(bead.id = "a-1", duration_ms = 12, note = "two words", "closed {}", "a-1");
        debug!("not this");
    });

    assert_eq!(lines.len(), 1);
    let (time, rest) = lines[0].split_once(' ').unwrap();
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 24, "{time}");
    let expected = " INFO test-executor: closed a-1 bead.id=a-1 duration_ms=12 note=\"two words\"";
    assert_eq!(rest, expected);
}

#[test]
fn a_json_line_has_the_promised_members() {
    let lines = lines_of("info", LogFormat::Json, || {
        let _span =
            info_span!("bead", bead.id = "a-1", level = "mine", late = tracing::field::Empty);
        let span = info_span!("bead", bead.id = "a-1", late = tracing::field::Empty);
        span.record("late", 7);
        let _entered = span.entered();
        info!(level = "mine", ok = true, "first\nsecond");
    });

    assert_eq!(lines.len(), 1);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["executor"], "test-executor");
    assert_eq!(line["message"], "first\nsecond");
    assert_eq!(line["target"], "daemon::logs::tests");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    assert_eq!(line["bead.id"], "a-1");
    assert_eq!(line["late"], 7);
    assert_eq!(line["ok"], true);
    assert_eq!(line["field.level"], "mine");
}

#[test]
fn an_event_stays_one_line_without_control_characters() {
    let lines = lines_of("info", LogFormat::Simple, || {
        info!(text = "x\u{1b}[2Jy", "one\ntwo\u{1b}[31m red ä");
    });

    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("one\\ntwo\\u{1b}[31m red ä"), "{}", lines[0]);
    assert!(!lines[0].contains('\u{1b}'));
}

#[test]
fn a_bad_level_is_a_usage_error_with_a_hint() {
    let exit = subscriber("inof", LogFormat::Simple, "x", Vec::new()).err().unwrap();

    assert_eq!(exit.code, 64);
    assert!(exit.hint.unwrap().contains("LOG_LEVEL"));
}

#[test]
fn a_file_that_cannot_be_written_is_replaced_and_the_user_told() {
    let temp = tempfile::tempdir().unwrap();
    let blocker = temp.path().join("blocker");
    fs::write(&blocker, "").unwrap();
    let wanted = blocker.join("yggdrasil-agent.log");

    let opened = file::open(&wanted, &temp.path().join("state"));

    assert_eq!(opened.path.unwrap(), temp.path().join("state/yggdrasil-agent.log"));
    let trouble = opened.trouble.unwrap();
    assert!(trouble.contains("blocker/yggdrasil-agent.log"), "{trouble}");
    assert!(trouble.contains("state/yggdrasil-agent.log"), "{trouble}");
    assert!(opened.file.is_some());

    let nowhere = file::open(&wanted, &blocker);
    assert!(nowhere.file.is_none() && nowhere.trouble.unwrap().contains("console"));
}

#[test]
fn the_log_goes_on_after_an_outside_truncation() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut appended = file::open(file.path(), Path::new("/")).file.unwrap();
    appended.write_all(b"before\n").unwrap();

    fs::File::options().write(true).truncate(true).open(file.path()).unwrap();
    appended.write_all(b"after\n").unwrap();

    assert_eq!(fs::read(file.path()).unwrap(), b"after\n");
}

#[test]
fn dropped_lines_are_counted_and_told() {
    struct Stuck(std::sync::mpsc::Receiver<()>, Vec<u8>, std::sync::mpsc::Sender<Vec<u8>>);
    impl std::io::Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            drop(self.2.send(self.1.clone()));
            Ok(())
        }
    }
    let (release, stuck) = std::sync::mpsc::channel();
    let (written, result) = std::sync::mpsc::channel();
    let (target, worker) = NonBlockingBuilder::default().buffered_lines_limit(2).finish(Stuck(
        stuck,
        Vec::new(),
        written,
    ));
    let counter = target.error_counter();
    let subscriber = subscriber("info", LogFormat::Simple, "x", vec![target]).unwrap();

    tracing::subscriber::with_default(subscriber, || {
        for number in 0..10 {
            info!("line {number}");
        }
        assert!(counter.dropped_lines() >= 7);
        drop(release);
        // The queue has room again some time after the writer is released.
        while !result.recv().is_ok_and(|bytes| bytes.ends_with(b"line 1\n") || bytes.len() > 100) {}
        warn!("the last");
    });
    drop(worker);

    let text = result.into_iter().last().unwrap_or_default();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("log lines were dropped"), "{text}");
    assert!(text.contains("the last"), "{text}");
}
