//! What a homelab's routing.yaml says.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

/// The contents of a routing.yaml.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    executors: BTreeMap<String, String>,
    routes: Vec<String>,
    default: Option<String>,
    limits: Vec<String>,
    retry: Vec<String>,
    idempotent: Vec<String>,
    text: Option<String>,
}

impl Routing {
    pub(super) fn executor(&mut self, name: &str, port: u16) {
        self.executors.insert(name.to_owned(), format!("http://127.0.0.1:{port}"));
    }

    /// Names an executor elsewhere: behind a proxy, or where nothing listens.
    pub fn executor_at(&mut self, name: &str, url: &str) -> &mut Self {
        self.executors.insert(name.to_owned(), url.to_owned());
        self
    }

    /// Leaves an executor out, so that nothing but its registration tells of it.
    pub fn forget(&mut self, name: &str) -> &mut Self {
        self.executors.remove(name);
        self
    }

    /// Writes an executor's entry in the long form, such as `{ url: …, limit: 1 }`.
    pub fn executor_entry(&mut self, name: &str, extra: &str) -> &mut Self {
        if let Some(url) = self.executors.get_mut(name) {
            *url = format!("{{ url: \"{url}\", {extra} }}");
        }
        self
    }

    /// Adds a route, such as `"echo: [one, two]"`.
    pub fn route(&mut self, line: &str) -> &mut Self {
        self.routes.push(line.to_owned());
        self
    }

    /// Sets the default executor.
    pub fn default_to(&mut self, name: &str) -> &mut Self {
        self.default = Some(name.to_owned());
        self
    }

    /// Adds a line below `limits`.
    pub fn limit(&mut self, line: &str) -> &mut Self {
        self.limits.push(line.to_owned());
        self
    }

    /// Adds a line below `retry`.
    pub fn retry(&mut self, line: &str) -> &mut Self {
        self.retry.push(line.to_owned());
        self
    }

    /// Names a task type of foreign runners that may run again.
    pub fn idempotent(&mut self, task_type: &str) -> &mut Self {
        self.idempotent.push(format!("- {task_type}"));
        self
    }

    /// Replaces the whole file.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.text = Some(text.to_owned());
        self
    }
}

impl Display for Routing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        let section = |f: &mut Formatter<'_>, name: &str, lines: &[String]| -> fmt::Result {
            if lines.is_empty() {
                return Ok(());
            }
            writeln!(f, "{name}:")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
        };
        let executors: Vec<String> =
            self.executors.iter().map(|(name, url)| format!("{name}: {url}")).collect();
        if executors.is_empty() {
            writeln!(f, "executors: {{}}")?;
        }
        section(f, "executors", &executors)?;
        section(f, "routes", &self.routes)?;
        if let Some(name) = &self.default {
            writeln!(f, "default: {name}")?;
        }
        section(f, "limits", &self.limits)?;
        section(f, "retry", &self.retry)?;
        section(f, "idempotent", &self.idempotent)
    }
}

#[cfg(test)]
mod tests {
    use super::Routing;

    #[test]
    fn it_writes_only_what_was_said() {
        let mut routing = Routing::default();

        routing.executor("one", 5000);
        routing.executor_entry("one", "limit: 1").route("echo: one").retry("grace: 2s");

        assert_eq!(
            routing.to_string(),
            "executors:\n  one: { url: \"http://127.0.0.1:5000\", limit: 1 }\nroutes:\n  echo: one\nretry:\n  grace: 2s\n"
        );
    }
}
