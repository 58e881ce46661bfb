//! A bead as a person writes it, and as the CLI shows it.

use serde_json::{Map, Value, json};

use super::Kind;

/// A bead to be written.
#[derive(Debug, Clone, Default)]
pub struct NewBead {
    title: String,
    task_type: Option<String>,
    params: Option<Value>,
    timeout_seconds: Option<f64>,
    executor: Option<String>,
    labels: Vec<String>,
    after: Vec<String>,
    priority: Option<u8>,
    assignee: Option<String>,
    description: Option<String>,
    issue_type: Option<String>,
}

impl NewBead {
    /// A bead with a title only: a person's, which no machine may touch.
    pub fn titled(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// A bead that asks for a task; its title says which.
    pub fn task(task_type: &str, params: Value) -> Self {
        let title = format!("please {task_type}");
        Self {
            title,
            task_type: Some(task_type.to_owned()),
            params: Some(params),
            ..Self::default()
        }
    }

    /// Gives it another title.
    #[must_use]
    pub fn named(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// Makes it wait for another bead.
    #[must_use]
    pub fn after(mut self, id: impl Into<String>) -> Self {
        self.after.push(id.into());
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Sets the priority; 0 is the most urgent.
    #[must_use]
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the order's own time limit.
    #[must_use]
    pub fn timeout(mut self, seconds: f64) -> Self {
        self.timeout_seconds = Some(seconds);
        self
    }

    /// Names the executor, against the routes.
    #[must_use]
    pub fn on(mut self, executor: &str) -> Self {
        self.executor = Some(executor.to_owned());
        self
    }

    /// Gives it to a person.
    #[must_use]
    pub fn assignee(mut self, person: &str) -> Self {
        self.assignee = Some(person.to_owned());
        self
    }

    /// Sets the description, which is otherwise made from the params where there is no metadata.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Sets the issue type, such as `epic`.
    #[must_use]
    pub fn issue_type(mut self, issue_type: &str) -> Self {
        self.issue_type = Some(issue_type.to_owned());
        self
    }

    /// Returns the title.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Returns the arguments of `create`: the order goes into the metadata, and where there is
    /// none (`mb`) into a label and a fenced block of the description.
    pub fn arguments(&self, kind: Kind) -> Vec<String> {
        let mut args = vec!["create".to_owned(), self.title.clone(), "--json".to_owned()];
        let mut labels = self.labels.clone();
        let mut description = self.description.clone();
        if let Some(order) = self.order() {
            match kind {
                Kind::Bd => args.extend(["--metadata".to_owned(), order.to_string()]),
                Kind::Mb => {
                    labels.extend(self.task_type.iter().map(|name| format!("task:{name}")));
                    labels.extend(self.executor.iter().map(|name| format!("{name}-executor")));
                    let order = serde_json::to_string_pretty(&order).unwrap_or_default();
                    let block = format!("```json\n{order}\n```\n");
                    description.get_or_insert(block);
                }
            }
        }
        args.extend(labels.iter().flat_map(|label| ["-l".to_owned(), label.clone()]));
        args.extend(description.map(|text| format!("--description={text}")));
        args.extend(self.priority.map(|priority| format!("--priority={priority}")));
        args.extend(self.assignee.iter().map(|person| format!("--assignee={person}")));
        args.extend(self.issue_type.iter().map(|name| format!("--type={name}")));
        if !self.after.is_empty() {
            args.extend(["--deps".to_owned(), self.after.join(",")]);
        }
        args
    }

    fn order(&self) -> Option<Value> {
        let mut order = Map::new();
        order.extend(self.task_type.iter().map(|name| ("task_type".to_owned(), json!(name))));
        order.extend(self.params.iter().map(|params| ("params".to_owned(), params.clone())));
        order.extend(
            self.timeout_seconds.iter().map(|limit| ("timeout_seconds".to_owned(), json!(limit))),
        );
        order.extend(self.executor.iter().map(|name| ("executor".to_owned(), json!(name))));
        (!order.is_empty()).then_some(Value::Object(order))
    }
}

/// A bead as the CLI shows it.
#[derive(Debug, Clone)]
pub struct Bead {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its status, such as `open`.
    pub status: String,
    /// Who has it; empty when nobody has.
    pub assignee: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Its notes.
    pub notes: String,
    /// Why it was closed (`bd` only: `mb` keeps no reason).
    pub close_reason: String,
    /// Its metadata; `{}` where there is none.
    pub metadata: Value,
    /// When it was last changed.
    pub updated_at: String,
    /// What it waits for.
    pub dependencies: Vec<Dependency>,
}

/// What a bead waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The other bead.
    pub id: String,
}

impl Bead {
    pub(super) fn from_json(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
        let labels =
            list("labels").into_iter().filter_map(|label| Some(label.as_str()?.to_owned()));
        let dependencies = list("dependencies").into_iter().filter_map(|edge| {
            // A raw edge names the other bead `depends_on_id`, a hydrated one is the bead itself.
            let id = edge["depends_on_id"].as_str().or(edge["id"].as_str())?;
            Some(Dependency { id: id.to_owned() })
        });
        Self {
            id: text("id"),
            title: text("title"),
            status: text("status"),
            assignee: text("assignee"),
            labels: labels.collect(),
            notes: text("notes"),
            close_reason: text("close_reason"),
            metadata: value.get("metadata").cloned().unwrap_or_else(|| json!({})),
            updated_at: text("updated_at"),
            dependencies: dependencies.collect(),
        }
    }

    /// Returns whether it has the label.
    pub fn has(&self, label: &str) -> bool {
        self.labels.iter().any(|own| own == label)
    }

    /// Returns what the coordinator wrote for people: the close reason on `bd`, the notes on `mb`,
    /// and both of a bead that was not closed.
    pub fn told(&self) -> String {
        [self.close_reason.as_str(), self.notes.as_str()].join("\n").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_metadata_on_bd_and_a_label_with_a_block_on_mb() {
        let bead = NewBead::task("echo", json!({"text": "hi"})).after("hl-1");

        let bd = bead.arguments(Kind::Bd);
        let mb = bead.arguments(Kind::Mb);

        assert!(
            bd.contains(&r#"{"params":{"text":"hi"},"task_type":"echo"}"#.to_owned()),
            "{bd:?}"
        );
        assert!(mb.contains(&"task:echo".to_owned()), "{mb:?}");
        assert!(mb.iter().any(|arg| arg.starts_with("--description=```json\n")), "{mb:?}");
        assert_eq!(bd[bd.len() - 2..], ["--deps", "hl-1"]);
    }

    #[test]
    fn a_bead_of_a_person_has_no_order() {
        let bead = NewBead::titled("water the plants");

        assert_eq!(bead.arguments(Kind::Bd), ["create", "water the plants", "--json"]);
        assert_eq!(bead.arguments(Kind::Mb), ["create", "water the plants", "--json"]);
    }
}
