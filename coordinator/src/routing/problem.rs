//! What is wrong with a file, where, and what was probably meant.

use std::fmt;

/// One thing that is wrong with routing.yaml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the user named it.
    pub file: String,
    /// Counted from 1; 0 when the problem has no single place.
    pub line: usize,
    /// Counted from 1, in characters; 0 when the problem has no single place.
    pub column: usize,
    /// Which value it is, such as `executors.surtr.limit`; empty for the whole file.
    pub path: String,
    /// What is wrong, and what was expected.
    pub text: String,
    /// The known name that comes nearest to the one found.
    pub nearest: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.text)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean `{nearest}`?")?;
        }
        Ok(())
    }
}

/// Returns the known name that a person may have meant, when one is near enough.
pub(super) fn nearest<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Comparing is quadratic in the length, and nobody mistypes a name of a kilobyte.
    if found.is_empty() || found.len() > 200 {
        return None;
    }
    let found = found.to_lowercase();
    let allowed = (found.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .filter(|name| name.len() <= 200)
        .map(|name| (strsim::damerau_levenshtein(&found, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, name)| (*distance, *name))
        .map(|(_, name)| name)
}

/// Returns the text in one line, in backticks, shortened when it is long.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String =
        text.chars().take(60).flat_map(char::escape_debug).filter(|c| *c != '`').collect();
    short = short.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}
