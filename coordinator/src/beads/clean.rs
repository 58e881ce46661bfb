//! What we write into a store: no control characters, no ANSI codes, nothing too long.
//!
//! One control character in a metadata value makes every JSON listing of a `bd` store fail for
//! everybody, so nothing is written without passing here.

use serde_json::{Map, Value};

/// The longest reason or note we write.
pub(super) const TEXT_BYTES: usize = 4096;
/// The longest `last_error` we write.
pub(super) const ERROR_BYTES: usize = 500;

const CUT: &str = "…";
/// A code point that is no character, so no text has it.
const TAB: &str = "\u{fdd0}";

/// Strips ANSI codes and control characters but `\n` and `\t`, and cuts on a char boundary.
///
/// A text that had to be cut ends in `…`, within the limit.
pub fn clean(text: &str, max_bytes: usize) -> String {
    // The parser of escape sequences drops tabs, so they pass it in disguise.
    let lines = text.replace(TAB, "").replace("\r\n", "\n").replace('\r', "\n");
    let plain = strip_ansi_escapes::strip_str(lines.replace('\t', TAB));
    let tabbed = plain.replace(TAB, "\t");
    let kept = tabbed.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    cut(kept, max_bytes)
}

/// One line, for places where a second one would be lost or misread.
pub(super) fn one_line(text: &str, max_bytes: usize) -> String {
    let kept = clean(text, usize::MAX);
    cut(kept.split_whitespace().collect::<Vec<_>>().join(" "), max_bytes)
}

/// Strips every text inside a value, keys included; numbers and shapes stay.
pub(super) fn clean_value(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text, usize::MAX)),
        Value::Array(items) => items.iter().map(clean_value).collect(),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (clean(key, usize::MAX), clean_value(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text;
    }
    let room = max_bytes.saturating_sub(CUT.len());
    text.truncate(text.floor_char_boundary(room));
    if max_bytes >= CUT.len() {
        text.push_str(CUT);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn colours_and_control_characters_go_and_the_text_stays() {
        let cases = [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{0}b\u{7}c\u{8}d\u{c}e", "abcde"),
            ("one\r\ntwo\rthree\tfour\n", "one\ntwo\nthree\tfour\n"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("grün ✓ 木", "grün ✓ 木"),
            ("\u{7f}\u{9b}x", "x"),
        ];
        for (dirty, expected) in cases {
            assert_eq!(clean(dirty, 100), expected, "{dirty:?}");
        }
    }

    #[test]
    fn a_cut_text_stays_within_its_limit_and_says_so() {
        assert_eq!(clean("abcdefghij", 8), "abcde…");
        assert_eq!(clean("äöüäöü", 7), "äö…");
        assert_eq!(clean("abc", 2), "");
        assert_eq!(clean("abc", 3), "abc");
    }

    #[test]
    fn a_line_has_no_second_line() {
        assert_eq!(one_line(" exit 1:\n\tno such   file\n", 80), "exit 1: no such file");
    }

    #[test]
    fn texts_deep_inside_a_value_are_cleaned() {
        let dirty = json!({"a\u{1b}[1m": ["\u{1b}[31mx", {"n": 1, "s": "y\u{0}"}], "t": true});

        assert_eq!(clean_value(&dirty), json!({"a": ["x", {"n": 1, "s": "y"}], "t": true}));
    }

    proptest! {
        #[test]
        fn nothing_that_poisons_a_store_gets_through(text in ".{0,200}", room in 0_usize..300) {
            let cleaned = clean(&text, room);

            prop_assert!(cleaned.len() <= room);
            prop_assert!(!cleaned.chars().any(|c| c < ' ' && c != '\n' && c != '\t'));
        }

        #[test]
        fn cleaning_twice_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let once = clean(&String::from_utf8_lossy(&bytes), 4096);

            prop_assert_eq!(clean(&once, 4096), once);
        }
    }
}
