//! Muninn, the media host.
use executor_sdk::prelude::*;

#[derive(Args)]
struct Muninn;

impl Executor for Muninn {
    const NAME: &'static str = "muninn-executor";

    fn tasks() -> Tasks<Self> {
        Tasks::new().with::<PlexScan>()
    }
}

/// Rescans one Plex library section.
#[derive(Deserialize, JsonSchema)]
struct PlexScan {
    section: u32,
}

impl Task<Muninn> for PlexScan {
    const TYPE: &'static str = "plex-scan";

    async fn run(self, _: &Muninn, cx: &Context) -> TaskResult {
        cx.run_command("plex-scan").arg(self.section.to_string()).await
    }
}

fn main() -> ExitCode {
    executor_sdk::run::<Muninn>()
}
