//! Making text of others harmless: a title or a log must not move the cursor, set the title of the
//! window, hide what follows, or turn the writing direction round.

/// What stands for a character that does something instead of showing something.
const REPLACEMENT: char = '\u{fffd}';

/// Returns the text as one harmless line.
pub(crate) fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    Cleaner::default().text(text, &mut clean);
    clean.trim_end_matches(['\n', '\r']).replace(['\n', '\r', '\t'], " ")
}

/// Makes a stream of bytes harmless, piece by piece; it remembers what a piece has cut in two.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    state: State,
    /// The begin of a character whose end has not come yet.
    cut: Vec<u8>,
    after_return: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC and intermediate characters, such as `ESC (`.
    Designation,
    /// After `ESC [`.
    Control,
    /// Within `ESC ]`, `ESC P`, `ESC X`, `ESC ^` or `ESC _`: a string for the terminal itself.
    String,
    /// ESC within such a string; with `\` it ends there.
    StringEscape,
}

impl Cleaner {
    /// Returns the harmless part of these bytes; what is not UTF-8 is replaced.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> String {
        let decoded = decode(&mut self.cut, bytes);
        let mut clean = String::with_capacity(decoded.len());
        self.text(&decoded, &mut clean);
        clean
    }

    fn text(&mut self, text: &str, clean: &mut String) {
        for character in text.chars() {
            self.character(character, clean);
        }
    }

    fn character(&mut self, c: char, clean: &mut String) {
        let was_return = std::mem::take(&mut self.after_return);
        // A line never ends inside a sequence, so an unfinished one hides at most its line.
        if self.state != State::Text && matches!(c, '\n' | '\r') {
            self.state = State::Text;
        }
        self.state = match (self.state, c) {
            (State::Text | State::Escape | State::Control | State::Designation, '\u{1b}') => {
                State::Escape
            }
            (State::Text, _) => {
                self.show(c, was_return, clean);
                State::Text
            }
            (State::Escape, '[') => State::Control,
            (State::Escape, ']' | 'P' | 'X' | '^' | '_') => State::String,
            (State::Escape | State::Designation, ' '..='/') => State::Designation,
            (State::Control, ' '..='?') | (State::String, _) if !ends_string(c) => self.state,
            (State::String, '\u{1b}') => State::StringEscape,
            (State::StringEscape, '\\') => State::Text,
            (State::StringEscape, _) if !ends_string(c) => State::String,
            _ => State::Text,
        };
    }

    fn show(&mut self, c: char, was_return: bool, clean: &mut String) {
        match c {
            '\n' if was_return => {}
            // A bar of progress that is drawn over itself becomes one line for each step.
            '\r' => {
                self.after_return = true;
                clean.push('\n');
            }
            '\n' | '\t' => clean.push(c),
            c if c.is_control() || turns_direction(c) => clean.push(REPLACEMENT),
            c => clean.push(c),
        }
    }
}

/// BEL and ST end a string for the terminal; ESC may begin its end.
fn ends_string(c: char) -> bool {
    matches!(c, '\u{7}' | '\u{9c}' | '\u{1b}')
}

/// Characters that change the direction or the order of what is shown.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns these bytes as text, after what was cut before; keeps a character that is cut now.
pub(crate) fn decode(cut: &mut Vec<u8>, bytes: &[u8]) -> String {
    let mut all = std::mem::take(cut);
    all.extend_from_slice(bytes);
    let mut text = String::with_capacity(all.len());
    let mut rest = all.as_slice();
    while !rest.is_empty() {
        match std::str::from_utf8(rest) {
            Ok(good) => {
                text.push_str(good);
                break;
            }
            Err(error) => {
                let (good, bad) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(good).unwrap_or_default());
                let Some(length) = error.error_len() else {
                    cut.extend_from_slice(bad);
                    break;
                };
                text.push(REPLACEMENT);
                rest = &bad[length..];
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_gets_through() {
        let cases = [
            ("plain äöü 漢字 🙂", "plain äöü 漢字 🙂"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[1;1Hgone", "gone"),
            ("\u{1b}]0;my title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(0qqq\u{1b}(B", "qqq"),
            ("\u{1b}P1$r\u{1b}\\dcs", "dcs"),
            ("\u{1b}c reset", " reset"),
            ("bell\u{7}, back\u{8}, nul\0", "bell\u{fffd}, back\u{fffd}, nul\u{fffd}"),
            ("\u{9b}31m c1", "\u{fffd}31m c1"),
            ("\u{202e}txt.exe", "\u{fffd}txt.exe"),
            ("never closed \u{1b}]0;abc", "never closed "),
            ("\u{1b}\u{1b}[1mtwice", "twice"),
        ];
        for (text, expected) in cases {
            assert_eq!(line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_unfinished_sequence_hides_no_more_than_its_line() {
        let mut cleaner = Cleaner::default();

        assert_eq!(cleaner.bytes(b"a\x1b]0;evil\nb\x1b[12"), "a\nb");
        assert_eq!(cleaner.bytes(b"\nc\n"), "\nc\n");
    }

    #[test]
    fn a_piece_may_end_anywhere() {
        let text = "ä\u{1b}[31m漢\r\nx\u{1b}]2;t\u{7}🙂\n".as_bytes();
        for at in 0..text.len() {
            let mut cleaner = Cleaner::default();

            let mut shown = cleaner.bytes(&text[..at]);
            shown += &cleaner.bytes(&text[at..]);

            assert_eq!(shown, "ä漢\nx🙂\n", "cut at {at}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced_and_the_rest_goes_on() {
        let mut cleaner = Cleaner::default();

        assert_eq!(cleaner.bytes(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
        assert_eq!(cleaner.bytes(b"\xe6\xbc"), "");
        assert_eq!(cleaner.bytes(b"z\n"), "\u{fffd}z\n");
    }

    #[test]
    fn a_bar_of_progress_becomes_lines() {
        let mut cleaner = Cleaner::default();

        assert_eq!(cleaner.bytes(b"10%\r50%\r"), "10%\n50%\n");
        assert_eq!(cleaner.bytes(b"\ndone\r\n"), "done\n");
    }

    #[test]
    fn a_line_has_no_second_line() {
        assert_eq!(line("a\nb\tc\r\nd\n"), "a b c d");
    }
}
