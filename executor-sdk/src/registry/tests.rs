use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::Tasks;

#[derive(clap::Args)]
#[group(skip)]
struct Twin;

impl Executor for Twin {
    const NAME: &'static str = "twin-executor";

    fn tasks() -> Tasks<Self> {
        Tasks::new().with::<One>().with::<Other>()
    }
}

/// The one.
#[derive(Deserialize, JsonSchema)]
struct One {}

impl Task<Twin> for One {
    const TYPE: &'static str = "same";

    async fn run(self, _: &Twin, _: &Context) -> TaskResult {
        Ok(crate::Report::done())
    }
}

/// The other.
#[derive(Deserialize, JsonSchema)]
struct Other {}

impl Task<Twin> for Other {
    const TYPE: &'static str = "same";

    async fn run(self, _: &Twin, _: &Context) -> TaskResult {
        Ok(crate::Report::done())
    }
}

#[test]
fn two_tasks_with_one_type_are_no_registry() {
    let executor = Arc::new(Twin);
    let entries = Twin::tasks().entries.iter().map(|build| build(Arc::clone(&executor))).collect();

    let error = Registry::new(entries).err();
    let exit = crate::service::registry(Twin).err().unwrap();

    assert_eq!(error, Some("same"));
    assert_eq!(exit.code, 78);
    assert_eq!(exit.error, "the task type `same` is there twice");
}
