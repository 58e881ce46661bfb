//! Muninn, the media host: the example of `docs/writing-an-executor.md`.
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

#[cfg(test)]
mod tests {
    use executor_sdk::harness::{Ending, Harness, RefusalCode, tokio};

    use super::*;

    async fn with(plex_scan: &str) -> Harness {
        Harness::with(Muninn).program("plex-scan", plex_scan).start().await
    }

    #[tokio::test]
    async fn a_section_is_scanned() {
        let muninn = with("echo scanning section $1").await;

        let outcome = muninn.execute("plex-scan", json!({"section": 3})).await.unwrap();

        assert_eq!(outcome.status, Ending::Completed);
        assert_eq!(outcome.output, "scanning section 3\n");
        assert_eq!(outcome.exit_code, Some(0));
    }

    #[tokio::test]
    async fn a_scan_that_fails_is_failed() {
        let muninn = with("echo no such section >&2; exit 4").await;

        let outcome = muninn.execute("plex-scan", json!({"section": 9})).await.unwrap();

        assert_eq!(outcome.status, Ending::Failed);
        assert_eq!(outcome.error.as_deref(), Some("`plex-scan` exited with 4: no such section"));
    }

    #[test]
    fn the_document_shows_this_file() {
        let (_, code) = include_str!("main.rs").split_once("use executor_sdk").unwrap();
        let (code, _) = code.split_once("\n#[cfg(test)]").unwrap();

        let document = include_str!("../../../docs/writing-an-executor.md");

        assert!(document.contains(code), "docs/writing-an-executor.md shows something else");
    }

    #[tokio::test]
    async fn a_section_is_a_number() {
        let muninn = with("true").await;

        let refusal = muninn.execute("plex-scan", json!({"section": "films"})).await.unwrap_err();

        assert_eq!(refusal.code, RefusalCode::InvalidParams);
        assert!(refusal.error.contains("`section`"), "{}", refusal.error);
    }
}
