//! The alert rules and the scrape configuration, as promtool judges them.

use crate::scene::{folder, program, promtool};

#[tokio::test]
async fn promtool_takes_the_configuration_and_the_rules() {
    let test = "promtool_takes_the_configuration_and_the_rules";
    let Some(program) = program(test, "promtool") else { return };
    for args in [["check", "config", "prometheus.yml"], ["check", "rules", "alerts.yml"]] {
        let answer = promtool(&program, &args, "").await;
        assert_eq!(answer.code, Some(0), "{args:?}: {}{}", answer.stdout, answer.stderr);
    }
}

#[tokio::test]
async fn each_alert_fires_when_it_should_and_else_is_quiet() {
    let test = "each_alert_fires_when_it_should_and_else_is_quiet";
    let Some(program) = program(test, "promtool") else { return };

    let answer = promtool(&program, &["test", "rules", "alerts.test.yml"], "").await;

    assert_eq!(answer.code, Some(0), "{}{}", answer.stdout, answer.stderr);
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    let tests = read("alerts.test.yml");
    for alert in read("alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        for what in ["fires", "stays quiet"] {
            assert!(tests.contains(&format!("name: {alert} {what}\n")), "{alert} {what}: no test");
        }
    }
}
