//! The last bytes of a stream.

/// How much of the end of an output is kept in memory and in outcomes.
pub(crate) const KEPT: usize = 64 * 1024;

/// The last [`KEPT`] bytes of what was pushed.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    was_cut: bool,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.len() >= KEPT {
            self.was_cut |= bytes.len() > KEPT || !self.bytes.is_empty();
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes[bytes.len() - KEPT..]);
            return;
        }
        // Shortened at twice the size, so that a byte is moved once and not at every push.
        if self.bytes.len() + bytes.len() > 2 * KEPT {
            let surplus = self.bytes.len() + bytes.len() - KEPT;
            self.bytes.drain(..surplus);
            self.was_cut = true;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the kept text; bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&self) -> String {
        let surplus = self.bytes.len().saturating_sub(KEPT);
        let mut kept = &self.bytes[surplus..];
        if self.was_cut || surplus > 0 {
            // The cut may lie inside a character: its rest is left out, not replaced.
            let rest = kept.iter().take(3).take_while(|byte| *byte & 0b1100_0000 == 0b1000_0000);
            kept = &kept[rest.count()..];
        }
        String::from_utf8_lossy(kept).into_owned()
    }
}

/// Returns the last line that says something, without control characters, at most `max` bytes.
pub(crate) fn last_line(text: &str, max: usize) -> String {
    text.lines()
        .rev()
        .map(|line| one_line(line, max))
        .find(|line| !line.is_empty())
        .unwrap_or_default()
}

/// Returns the text as one line without control characters and terminal colours, at most `max`
/// bytes.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max));
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            skip_escape(&mut characters);
            continue;
        }
        let is_blank = character.is_whitespace() || character.is_control();
        if is_blank && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        let character = if is_blank { ' ' } else { character };
        if line.len() + character.len_utf8() > max {
            break;
        }
        line.push(character);
    }
    line.truncate(line.trim_end().len());
    line
}

/// Skips the rest of a terminal's escape sequence: `[…m` and its like, or one character.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.next() {
        Some('[') => {
            let _: Option<char> = characters.find(|c| ('\u{40}'..='\u{7e}').contains(c));
        }
        Some(']') => {
            let _: Option<char> = characters.find(|c| *c == '\u{7}' || *c == '\\');
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept() {
        let mut tail = Tail::default();
        for n in 0..100_000 {
            tail.push(format!("{n}\n").as_bytes());
        }

        let text = tail.text();

        assert_eq!(text.len(), KEPT);
        assert!(text.ends_with("99998\n99999\n"));
    }

    #[test]
    fn one_huge_push_keeps_its_end() {
        let mut tail = Tail::default();
        tail.push(b"before");
        tail.push(&vec![b'x'; 3 * KEPT]);
        tail.push(b"!");

        assert_eq!(tail.text().len(), KEPT);
        assert!(tail.text().ends_with("xx!"));
    }

    #[test]
    fn a_cut_inside_a_character_loses_its_rest() {
        let mut tail = Tail::default();
        tail.push("ä".repeat(KEPT).as_bytes());
        tail.push(b"!");

        let text = tail.text();

        assert!(text.starts_with('ä'));
        assert!(text.len() >= KEPT - 2);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let mut tail = Tail::default();
        tail.push(b"a\xffb");

        assert_eq!(tail.text(), "a\u{fffd}b");
    }

    #[test]
    fn a_line_has_no_colours_and_no_breaks() {
        assert_eq!(
            one_line("\u{1b}[31mfatal:\u{1b}[0m  not\na\trepo \u{7}", 100),
            "fatal: not a repo"
        );
        assert_eq!(one_line("ääää", 5), "ää");
        assert_eq!(last_line("first\nlast \u{1b}[0m\n\n  \n", 100), "last");
        assert_eq!(last_line("", 100), "");
    }
}
