use std::sync::Arc;

use super::*;

fn text(n: usize) -> Vec<u8> {
    (0..n).map(|at| b"0123456789abcdef"[at % 16] ^ u8::from(at / 16 % 2 == 1)).collect()
}

/// Reads everything from `offset` on, in pieces of `step`, with the place of each byte.
fn all(read: impl Fn(u64, usize) -> io::Result<Piece>, from: u64, step: usize) -> Vec<(u64, u8)> {
    let mut found = Vec::new();
    let mut offset = from;
    loop {
        let piece = read(offset, step).unwrap();
        if piece.bytes.is_empty() {
            return found;
        }
        offset = piece.next();
        found.extend((piece.offset..).zip(piece.bytes));
    }
}

#[test]
fn every_kept_byte_is_read_back_at_its_offset() {
    for cap in [2, 7, 64, 1000] {
        for chunk in [1, 3, 40, 500] {
            let folder = tempfile::tempdir().unwrap();
            let log = AttemptLog::new(folder.path().join("log"), Layout::new(cap));
            let printed = text(700);
            for part in printed.chunks(chunk) {
                log.append(part);
            }

            let running = all(|at, max| log.read(at, max), 0, 11);
            let kept = log.end();
            let ended = all(|at, max| log.read(at, max), 0, 64);

            assert_eq!(running, ended, "cap {cap} chunk {chunk}");
            assert_eq!(ended.len() as u64, kept.available(0), "cap {cap} chunk {chunk}");
            assert_eq!(ended.len() as u64, cap.min(700));
            assert!(ended.iter().all(|(at, byte)| printed[usize::try_from(*at).unwrap()] == *byte));
            let dropped = kept.dropped().map_or(0, |(from, to)| to - from);
            assert_eq!(dropped, 700u64.saturating_sub(cap));
        }
    }
}

#[test]
fn a_killed_writer_leaves_a_log_whose_range_is_known() {
    for printed in [0, 5, 10, 20, 21, 95] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let layout = Layout::new(20);
        let log = AttemptLog::new(path.clone(), layout);
        for part in text(printed).chunks(3) {
            log.append(part);
        }
        let expected = log.kept();
        drop(log);

        let length = path.metadata().map_or(0, |found| found.len());
        let recovered = layout
            .recover(length, |at, bytes| File::open(&path)?.read_exact_at(bytes, at))
            .unwrap();

        assert_eq!(recovered, expected, "after {printed} bytes");
    }
}

#[test]
fn a_kill_inside_a_write_drops_what_is_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let layout = Layout::new(20);
    let log = AttemptLog::new(path.clone(), layout);
    log.append(&text(33));
    let file = File::options().write(true).open(&path).unwrap();
    let mut puts = 0;
    // The footer and one part of the ring are written, then the process is killed.
    let killed = layout.write(33, b"XYZ", |at, part| {
        puts += 1;
        if puts == 3 { Err(io::Error::other("killed")) } else { file.write_all_at(part, at) }
    });

    let length = path.metadata().unwrap().len();
    let kept =
        layout.recover(length, |at, bytes| File::open(&path)?.read_exact_at(bytes, at)).unwrap();
    let reader = LogReader::Ended { path, layout, kept };
    let found = all(|at, max| reader.read(at, max), 0, 100);

    assert!(killed.is_err());
    assert_eq!(kept, Kept { size: 33, from: 10, to: 26 });
    let printed = text(33);
    assert!(found.iter().all(|(at, byte)| printed[usize::try_from(*at).unwrap()] == *byte));
    assert_eq!(found.len(), 17);
}

#[test]
fn a_log_that_cannot_be_written_still_counts_and_has_its_tail() {
    let log = AttemptLog::new(PathBuf::from("/nonexistent/log"), Layout::new(100));
    log.append(b"hello ");
    log.append(b"world");

    let kept = log.end();

    assert_eq!(log.tail(), "hello world");
    assert_eq!(kept, Kept { size: 11, from: 0, to: 11 });
    assert_eq!(kept.dropped(), Some((0, 11)));
}

#[test]
fn nothing_printed_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = AttemptLog::new(path.clone(), Layout::new(100));
    log.append(b"");

    log.end();

    assert!(!path.exists());
    assert_eq!(log.read(7, 10).unwrap(), Piece { offset: 7, bytes: Vec::new() });
}

#[tokio::test]
async fn a_follower_learns_of_growth_and_of_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(AttemptLog::new(folder.path().join("log"), Layout::new(100)));
    let mut progress = log.progress();

    log.append(b"abc");
    log.end();

    let last = *progress.wait_for(|now| now.has_ended).await.unwrap();
    assert_eq!(last, Progress { size: 3, has_ended: true });
}
