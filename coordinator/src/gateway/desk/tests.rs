use proptest::prelude::*;

use super::*;

fn id(name: &str) -> AgentId {
    Arc::from(name)
}

fn wanted(names: &[&str]) -> Wanted {
    let mut members: Vec<AgentId> = names.iter().map(|name| id(name)).collect();
    members.sort();
    Wanted { members: members.into(), without: Vec::new(), takes_place: true }
}

fn desk(agents: &[(&str, u32)]) -> Desk<u32> {
    let mut desk = Desk::new(3);
    desk.sync(agents.iter().map(|(name, limit)| (id(name), *limit, Health::Good)));
    desk
}

fn chosen(desk: &mut Desk<u32>, wanted: &Wanted) -> String {
    match desk.pick(wanted) {
        Pick::Agent(id) => id.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_one_with_the_smallest_share_of_its_places_taken_is_next() {
    let mut desk = desk(&[("small", 2), ("large", 8)]);
    let both = wanted(&["small", "large"]);

    let order: Vec<_> = (0..10).map(|_| chosen(&mut desk, &both)).collect();

    assert_eq!(order.iter().filter(|name| *name == "small").count(), 2);
    assert_eq!(order.iter().filter(|name| *name == "large").count(), 8);
    assert!(order[..5].contains(&"small".to_owned()), "not only at the end: {order:?}");
    assert_eq!(chosen(&mut desk, &both), "Full");
}

#[test]
fn idle_ones_take_turns_and_a_busy_machine_waits() {
    let mut desk = desk(&[("a", 9), ("b", 9), ("c", 9)]);
    let all = wanted(&["a", "b", "c"]);
    desk.note_cpu(&id("c"), 55.0);
    desk.note_cpu(&id("b"), 9.9);

    let order: Vec<_> = (0..4)
        .map(|_| {
            let name = chosen(&mut desk, &all);
            desk.release(&id(&name));
            name
        })
        .collect();

    assert_eq!(order, ["a", "b", "a", "b"]);
}

#[test]
fn one_that_does_not_answer_is_asked_only_when_there_is_nobody_else() {
    let mut desk = desk(&[("up", 1), ("down", 5)]);
    let both = wanted(&["up", "down"]);
    desk.note_health(&id("down"), Health::Bad);

    assert_eq!(chosen(&mut desk, &both), "up");
    assert_eq!(chosen(&mut desk, &both), "Full", "it is waited for");
    assert_eq!(chosen(&mut desk, &wanted(&["down"])), "down");
    let without = Wanted { without: vec![id("up")], ..both };
    assert_eq!(chosen(&mut desk, &without), "down");
}

#[test]
fn what_takes_no_place_is_never_refused_one() {
    let mut desk = desk(&[("a", 1)]);
    let process = wanted(&["a"]);
    let health = Wanted { takes_place: false, ..process.clone() };

    assert_eq!(chosen(&mut desk, &process), "a");
    assert_eq!(chosen(&mut desk, &health), "a");
    assert_eq!(desk.load(&id("a")), Some((1, 1)));
}

#[test]
fn a_session_moves_only_when_its_agent_is_silent_and_another_is_not() {
    let mut desk = desk(&[("a", 1), ("b", 1)]);
    let members = wanted(&["a", "b"]).members;

    assert!(desk.keeps(&id("a"), &members));
    desk.note_health(&id("a"), Health::Bad);
    assert!(!desk.keeps(&id("a"), &members));
    desk.note_health(&id("b"), Health::Bad);
    assert!(desk.keeps(&id("a"), &members), "no better place to go");
    assert!(!desk.keeps(&id("gone"), &members));
}

#[test]
fn a_free_place_goes_to_the_first_in_line_who_can_use_it() {
    let mut desk = desk(&[("a", 1), ("b", 1)]);
    let all = wanted(&["a", "b"]);
    desk.pick(&all);
    desk.pick(&all);
    desk.wait(wanted(&["a"]), 1, None).unwrap();
    desk.wait(all.clone(), 2, None).unwrap();
    desk.wait(all.clone(), 3, None).unwrap();
    assert_eq!(desk.wait(all, 4, None), Err(LineFull));

    assert_eq!(desk.release(&id("b")), Some((2, id("b"))));
    assert_eq!(desk.release(&id("a")), Some((1, id("a"))));
    assert_eq!(desk.waiting(), 1);
}

#[test]
fn who_left_the_line_gets_nothing() {
    let mut desk = desk(&[("a", 1)]);
    let a = wanted(&["a"]);
    desk.pick(&a);
    let first = desk.wait(a.clone(), 1, None).unwrap();
    desk.wait(a, 2, None).unwrap();

    desk.leave(first);

    assert_eq!(desk.release(&id("a")), Some((2, id("a"))));
}

#[test]
fn who_comes_back_to_the_line_has_the_place_that_it_had() {
    let mut desk = desk(&[("a", 1)]);
    let a = wanted(&["a"]);
    desk.pick(&a);
    let first = desk.wait(a.clone(), 1, None).unwrap();
    desk.wait(a.clone(), 2, None).unwrap();
    desk.wait(a.clone(), 3, None).unwrap();
    desk.leave(first);
    desk.wait(a.clone(), 4, None).unwrap();

    desk.wait(a, 1, Some(first)).unwrap();

    assert_eq!(desk.release(&id("a")), Some((1, id("a"))));
}

#[test]
fn a_newcomer_serves_the_line() {
    let mut desk = desk(&[("a", 1)]);
    let all = wanted(&["a", "b"]);
    desk.pick(&all);
    desk.wait(all, 1, None).unwrap();

    desk.sync([(id("a"), 1, Health::Good), (id("b"), 1, Health::Unknown)]);

    assert_eq!(desk.serve(), [(1, id("b"))]);
    assert_eq!(desk.load(&id("a")), Some((1, 1)), "what it does is remembered");
}

#[test]
fn one_that_is_gone_keeps_its_count_until_it_is_done() {
    let mut desk = desk(&[("a", 2)]);
    let a = wanted(&["a"]);
    desk.pick(&a);

    desk.sync([]);
    let meanwhile = desk.pick(&a);
    desk.sync([(id("a"), 2, Health::Good)]);

    assert_eq!(meanwhile, Pick::Nobody);
    assert_eq!(desk.load(&id("a")), Some((1, 2)));
}

#[derive(Debug, Clone)]
enum Step {
    Come { one: usize, other: usize },
    Done(usize),
    Leave(usize),
    Silent(usize),
    Heard(usize),
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize, 0..4_usize).prop_map(|(one, other)| Step::Come { one, other }),
        4 => (0..20_usize).prop_map(Step::Done),
        1 => (0..3_usize).prop_map(Step::Leave),
        1 => (0..4_usize).prop_map(Step::Silent),
        1 => (0..4_usize).prop_map(Step::Heard),
    ]
}

proptest! {
    #[test]
    fn no_place_is_lost_or_given_twice_and_nobody_waits_beside_a_free_one(
        steps in proptest::collection::vec(step(), 0..120)
    ) {
        let mut desk = desk(&[("a", 1), ("b", 2), ("c", 3), ("d", 1)]);
        let limits = [1, 2, 3, 1];
        let mut busy: Vec<AgentId> = Vec::new();
        let mut line: Vec<(u64, Wanted, u32)> = Vec::new();
        let mut next = 0_u32;
        for step in steps {
            match step {
                Step::Come { one, other } => {
                    let want = wanted(&[NAMES[one], NAMES[other]]);
                    match desk.pick(&want) {
                        Pick::Agent(id) => {
                            prop_assert!(want.members.contains(&id));
                            busy.push(id);
                        }
                        Pick::Full => {
                            if let Ok(number) = desk.wait(want.clone(), next, None) {
                                line.push((number, want, next));
                            } else {
                                prop_assert_eq!(line.len(), 3);
                            }
                        }
                        Pick::Nobody => prop_assert!(false, "there is always somebody"),
                    }
                    next += 1;
                }
                Step::Done(at) if !busy.is_empty() => {
                    let id = busy.remove(at % busy.len());
                    if let Some((who, at)) = desk.release(&id) {
                        let first = line.iter().position(|(_, want, _)| want.has(&id));
                        let waited = line.iter().position(|(_, _, number)| *number == who);
                        prop_assert!(first <= waited);
                        line.remove(waited.unwrap());
                        busy.push(at);
                    }
                }
                Step::Leave(at) if !line.is_empty() => {
                    let (number, ..) = line.remove(at % line.len());
                    desk.leave(number);
                }
                Step::Silent(at) => desk.note_health(&id(NAMES[at]), Health::Bad),
                Step::Heard(at) => {
                    desk.note_health(&id(NAMES[at]), Health::Good);
                    for (who, at) in desk.serve() {
                        let waited = line.iter().position(|(_, _, number)| *number == who);
                        line.remove(waited.unwrap());
                        busy.push(at);
                    }
                }
                Step::Done(_) | Step::Leave(_) => {}
            }
            prop_assert_eq!(desk.waiting(), line.len());
            for (name, limit) in NAMES.iter().zip(limits) {
                let taken = busy.iter().filter(|id| &***id == *name).count();
                prop_assert_eq!(desk.load(&id(name)), Some((u32::try_from(taken).unwrap(), limit)));
                prop_assert!(taken <= limit as usize);
                let waits = line.iter().any(|(_, want, _)| want.has(&id(name)));
                let free = taken < limit as usize && desk.health(&id(name)) == Some(Health::Good);
                prop_assert!(!(waits && free), "{name} is free and is waited for");
            }
        }
    }
}
