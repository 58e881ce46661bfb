//! Says what is wrong with a body: which member, and what it must be.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Says what is wrong with `bytes`, which could not be read as a `T`.
pub(super) fn of<T: DeserializeOwned>(bytes: &[u8]) -> String {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let Err(problem) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
        // The object is well; something stands behind it.
        return reader.end().map_or_else(|error| not_json(&error), |()| String::new());
    };
    let path = problem.path().to_string();
    let error = problem.into_inner();
    if error.classify() != Category::Data {
        return not_json(&error);
    }
    let text = without_place(&error);
    let at = if path == "." { String::new() } else { path };
    let named = |member: &str| {
        if at.is_empty() { member.to_owned() } else { format!("{at}.{member}") }
    };
    if let Some(member) = quoted(&text, "missing field `") {
        return format!("`{}` is required", named(member));
    }
    if let Some(member) = quoted(&text, "duplicate field `") {
        return format!("`{}` is there twice", named(member));
    }
    let whose = if at.is_empty() { "the body".to_owned() } else { format!("`{at}`") };
    match text.split_once(", expected ") {
        Some((_, wanted)) => format!("{whose} must be {}", plain(wanted)),
        None => format!("{whose}: {text}"),
    }
}

/// Says that a body is not JSON, or not JSON that is read.
pub(super) fn not_json(error: &serde_json::Error) -> String {
    let text = without_place(error);
    format!("the body is not JSON: {text} (line {}, column {})", error.line(), error.column())
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix('`')
}

/// Says in plain words what serde says in those of Rust.
fn plain(wanted: &str) -> &str {
    match wanted {
        "a sequence" => "an array",
        "a map" => "an object",
        "a boolean" => "true or false",
        "f64" | "f32" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        _ if wanted.starts_with("struct ") => "an object",
        _ => wanted,
    }
}
