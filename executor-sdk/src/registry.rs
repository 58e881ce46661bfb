//! The tasks of one executor, joined with its settings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Map, Value};

use crate::params::{self, ParamsError};
use crate::{Ask, Context, Executor, Task, TaskResult};

/// A task whose params were accepted; calling it makes it run.
pub(crate) type Run = Box<dyn FnOnce(Context) -> BoxFuture<'static, TaskResult> + Send>;

type Prepare = Box<dyn Fn(Map<String, Value>) -> Result<Run, ParamsError> + Send + Sync>;

/// Makes the entry of one kind of work.
pub(crate) type Builder<E> = fn(Arc<E>) -> Entry;

/// One kind of work, with its executor inside.
pub(crate) struct Entry {
    pub(crate) task_type: &'static str,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idempotent: bool,
    pub(crate) retryable: bool,
    pub(crate) tools: &'static [&'static str],
    pub(crate) schema: Value,
    pub(crate) asks: fn(&Map<String, Value>) -> Vec<Ask>,
    pub(crate) prepare: Prepare,
}

pub(crate) fn build<E: Executor, T: Task<E>>(executor: Arc<E>) -> Entry {
    let schema = params::schema::<T>();
    let known = schema.clone();
    Entry {
        task_type: T::TYPE,
        timeout: T::TIMEOUT,
        idempotent: T::IDEMPOTENT,
        retryable: T::RETRYABLE,
        tools: T::TOOLS,
        schema,
        asks: T::asks,
        prepare: Box::new(move |raw| {
            let task: T = params::parse(raw, &known)?;
            let executor = Arc::clone(&executor);
            Ok(Box::new(move |cx| Box::pin(async move { task.run(&executor, &cx).await })))
        }),
    }
}

/// Every kind of work by its type name, in the author's order.
pub(crate) struct Registry {
    entries: Vec<Entry>,
    by_type: BTreeMap<&'static str, usize>,
}

impl Registry {
    /// Joins the entries. The error is the type name that is there twice.
    pub(crate) fn new(entries: Vec<Entry>) -> Result<Self, &'static str> {
        let mut by_type = BTreeMap::new();
        for (at, entry) in entries.iter().enumerate() {
            if by_type.insert(entry.task_type, at).is_some() {
                return Err(entry.task_type);
            }
        }
        Ok(Self { entries, by_type })
    }

    pub(crate) fn get(&self, task_type: &str) -> Option<&Entry> {
        self.by_type.get(task_type).map(|at| &self.entries[*at])
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the known type names, the most similar to `wanted` first.
    pub(crate) fn nearest(&self, wanted: &str) -> Vec<&'static str> {
        let mut names: Vec<_> = self.by_type.keys().copied().collect();
        names.sort_by_key(|name| strsim::damerau_levenshtein(name, wanted));
        names
    }
}

#[cfg(test)]
mod tests;
