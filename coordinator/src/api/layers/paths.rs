//! Paths in any case, and with one slash at the end.
//!
//! The words of a route are compared without regard to case; what stands where a route has a
//! parameter stays as it is.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// One piece of a route between two slashes; none: a parameter.
type Piece = Option<String>;

/// The paths of all routes.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Paths {
    /// By the number of their pieces; words before parameters.
    routes: Vec<Vec<Vec<Piece>>>,
}

impl Paths {
    /// Takes the routes' paths, with parameters such as `{id}`.
    pub(in crate::api) fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut routes: Vec<Vec<Vec<Piece>>> = Vec::new();
        for path in paths {
            let pieces: Vec<Piece> = path
                .split('/')
                .map(|piece| (!piece.starts_with('{')).then(|| piece.to_ascii_lowercase()))
                .collect();
            if routes.len() <= pieces.len() {
                routes.resize(pieces.len() + 1, Vec::new());
            }
            routes[pieces.len()].push(pieces);
        }
        for same in &mut routes {
            same.sort_by_key(|pieces| pieces.iter().map(Option::is_none).collect::<Vec<_>>());
        }
        Self { routes }
    }

    /// Returns the address by which the route is found, where that is another one.
    pub(super) fn normalise(&self, uri: &Uri) -> Option<Uri> {
        let path = uri.path();
        let shorter = path.strip_suffix('/').filter(|shorter| !shorter.is_empty());
        if shorter.is_none() && !path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let path = self.spelled(shorter.unwrap_or(path)).or(shorter.map(str::to_owned))?;
        let path = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
        Uri::from_parts(parts).ok()
    }

    /// Spells a path as its route does, where that is different.
    fn spelled(&self, path: &str) -> Option<String> {
        let given: Vec<&str> = path.split('/').collect();
        let fits = |pieces: &&Vec<Piece>| {
            pieces.iter().zip(&given).all(|(piece, given)| match piece {
                Some(word) => word.eq_ignore_ascii_case(given),
                None => !given.is_empty(),
            })
        };
        let route = self.routes.get(given.len())?.iter().find(fits)?;
        let pieces = route.iter().zip(&given);
        let pieces: Vec<&str> =
            pieces.map(|(piece, given)| piece.as_deref().unwrap_or(given)).collect();
        (pieces != given).then(|| pieces.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(path: &str) -> String {
        let paths = Paths::new([
            "/health",
            "/runners/{id}",
            "/runners/register",
            "/runners/{id}/tasks/{taskId}",
            "/api/runners/{id}",
        ]);
        let uri: Uri = path.parse().unwrap();
        paths.normalise(&uri).unwrap_or(uri).to_string()
    }

    #[test]
    fn words_are_found_in_any_case_and_ids_keep_theirs() {
        for (given, expected) in [
            ("/health", "/health"),
            ("/HEALTH", "/health"),
            ("/Health/", "/health"),
            ("/health//", "/health/"),
            ("/", "/"),
            ("/RUNNERS/Register", "/runners/register"),
            ("/RUNNERS/Abc", "/runners/Abc"),
            ("/runners/Abc", "/runners/Abc"),
            ("/runners/aBc/TASKS/T-1/?status=RUNNING", "/runners/aBc/tasks/T-1?status=RUNNING"),
            ("/Api/Runners/a%20b%2FC", "/api/runners/a%20b%2FC"),
            ("/runners//Tasks/x", "/runners//Tasks/x"),
            ("/Nothing", "/Nothing"),
            ("/Nothing/", "/Nothing"),
        ] {
            assert_eq!(normalised(given), expected, "{given}");
        }
    }
}
