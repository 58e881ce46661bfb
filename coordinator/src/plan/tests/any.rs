//! What holds for every snapshot.

use proptest::prelude::*;

use super::*;

proptest! {
    /// Whatever is listed and whatever runs, no limit is ever passed, and nothing starts twice.
    #[test]
    fn no_limit_is_ever_passed(
        kinds in prop::collection::vec((0usize..4, any::<bool>()), 0..60),
        running in prop::collection::vec((0usize..4, any::<bool>()), 0..4),
    ) {
        const TYPES: [&str; 4] = ["run-tests", "git-clone", "llm-chat", "git-gc"];
        let mut world = World::new();
        world.active = running
            .iter()
            .enumerate()
            .map(|(n, (kind, on_surtr))| {
                active(&format!("r{n}"), TYPES[*kind], if *on_surtr { "surtr" } else { "fenrir" })
            })
            .collect();
        let orders: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(n, (kind, gpu))| {
                let labels = if *gpu { vec!["gpu".to_owned()] } else { Vec::new() };
                listed(Order { labels, ..order(&format!("b{n}"), TYPES[*kind]) })
            })
            .collect();

        let plan = world.plan(&orders);

        let started: Vec<_> = orders
            .iter()
            .zip(&plan.decisions)
            .filter_map(|(listed, decision)| match decision {
                Decision::Start { executor } => Some((listed.order.as_ref().unwrap(), executor)),
                _ => None,
            })
            .collect();
        let of = |kind: &str| started.iter().filter(|(order, _)| order.task_type == kind).count();
        let on = |name: &str| started.iter().filter(|(_, executor)| executor.as_str() == name).count();
        let ran_on = |name: &str| {
            world.active.iter().filter(|a| a.executor.as_ref().unwrap().as_str() == name).count()
        };
        let ran = |kind: &str| world.active.iter().filter(|a| a.task_type == kind).count();
        let gpus = started.iter().filter(|(order, _)| !order.labels.is_empty()).count();
        prop_assert_eq!(plan.decisions.len(), orders.len());
        if !started.is_empty() {
            prop_assert!(started.len() + world.active.len() <= 4);
        }
        prop_assert!(of("llm-chat") == 0 || of("llm-chat") + ran("llm-chat") <= 1);
        prop_assert!(on("surtr") == 0 || on("surtr") + ran_on("surtr") <= 2);
        prop_assert!(on("fenrir") == 0 || on("fenrir") + ran_on("fenrir") <= 3);
        prop_assert!(gpus <= 1);
        if of("git-gc") > 0 {
            prop_assert_eq!(on("fenrir") + ran_on("fenrir"), 1);
        }
        // Whatever waits, waits for a reason that still holds: there is no idle room for it.
        if started.len() + world.active.len() < 4 && world.active.is_empty() {
            for (listed, decision) in orders.iter().zip(&plan.decisions) {
                let labels = &listed.order.as_ref().unwrap().labels;
                prop_assert_ne!(code(decision), "limit_total");
                if code(decision) == "limit_label" {
                    prop_assert!(!labels.is_empty() && gpus == 1);
                }
            }
        }
    }
}
