//! The page as Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::ensure;
use protocol::executor::{ExecutorStatus, TaskSpec};

use crate::params;

const HEAD: &str = "# Tasks

Every task that the three executors know, as they answer it to `GET /status` themselves. `make docs` writes this
page; a test compares it. How a bead asks for a task is told in the [README](../README.md).

*Repeatable* tasks may run again when their executor was lost in the middle (in the protocol: `idempotent`).
*Retried* ones get another attempt when they fail (`retryable`), as often as [routing.yaml](routing.md) says.
A param that has no default and is not required may be left out: its text says what then happens.
";

/// Returns the whole page.
pub(crate) fn render(all: &[(&str, ExecutorStatus)]) -> anyhow::Result<String> {
    let mut page = HEAD.to_owned();
    let shared: Vec<&TaskSpec> = all.first().map_or_else(Vec::new, |(_, first)| {
        let others = &all[1..];
        let in_all = |task: &&TaskSpec| others.iter().all(|(_, one)| has(one, &task.task_type));
        first.tasks.iter().filter(in_all).collect()
    });
    for (name, status) in all {
        for task in &shared {
            let same = status.tasks.iter().any(|own| own == *task);
            ensure!(same, "`{}` is another on {name}", task.task_type);
        }
        let is_shared = |task: &&TaskSpec| shared.iter().any(|one| one.task_type == task.task_type);
        let own: Vec<&TaskSpec> = status.tasks.iter().filter(|task| !is_shared(task)).collect();
        section(&mut page, &capital(name), &own);
    }
    section(&mut page, "Every executor", &shared);
    Ok(page)
}

/// Returns the first line in which two texts differ.
pub(crate) fn first_difference(one: &str, other: &str) -> Option<usize> {
    if one == other {
        return None;
    }
    let same = one.lines().zip(other.lines()).take_while(|(one, other)| one == other);
    Some(same.count() + 1)
}

fn has(status: &ExecutorStatus, task_type: &str) -> bool {
    status.tasks.iter().any(|task| task.task_type == task_type)
}

fn capital(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn section(page: &mut String, title: &str, tasks: &[&TaskSpec]) {
    write(page, format_args!("\n## {title}\n\n"));
    let links: Vec<String> =
        tasks.iter().map(|task| format!("[`{0}`](#{0})", task.task_type)).collect();
    write(page, format_args!("{}\n", links.join(" · ")));
    for task in tasks {
        entry(page, task);
    }
}

fn entry(page: &mut String, task: &TaskSpec) {
    let schema = &task.params_schema;
    let description = schema["description"].as_str().unwrap_or(&task.description);
    write(page, format_args!("\n### `{}`\n\n{}\n\n", task.task_type, description.trim()));
    let limit = match task.timeout_seconds {
        Some(seconds) => daemon::duration::show(Duration::from_secs_f64(seconds)),
        None => "the executor's (`--task-timeout`)".to_owned(),
    };
    let tools = match task.missing.as_slice() {
        [] => "none".to_owned(),
        tools => {
            let shown = tools.iter().map(|tool| format!("`{}`", tool.replace(" or ", "` or `")));
            shown.collect::<Vec<_>>().join(", ")
        }
    };
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    write(
        page,
        format_args!(
            "Time limit: {limit}. Repeatable: {}. Retried: {}. Tools: {tools}.\n\n",
            yes(task.idempotent),
            yes(task.retryable)
        ),
    );
    let rows = params::rows(schema);
    if rows.is_empty() {
        page.push_str("It takes no params.\n");
        return;
    }
    page.push_str("| param | type | default | means |\n|---|---|---|---|\n");
    for row in rows {
        let cells = [format!("`{}`", row.name), row.kind, row.default, row.means];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        write(page, format_args!("| {} |\n", cells.join(" | ")));
    }
}

fn write(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a String can be written");
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_line_that_differs_is_told() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("", "a\n"), Some(1));
        assert_eq!(first_difference("a", "a\n"), Some(2));
    }
}
