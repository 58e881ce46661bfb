//! Whether a request is sent again, and to whom. Pure.

use std::time::Duration;

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// The request never reached the agent.
    NotReached,
    /// It may have; no answer came.
    Cut,
    /// It may have; no answer came in time.
    TimedOut,
    /// An executor of ours said that it started nothing: it is full, or stops.
    NotStarted,
    Answered(u16),
}

/// What kind of request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeatable {
    /// It changes nothing: any agent may get it again.
    Anywhere,
    /// Its caller made it one that has its effect once however often it arrives, at one agent.
    SameAgent,
    /// It may have its effect each time it arrives.
    Never,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The caller gets what there is.
    Answer,
    /// Another agent may take it, or the same.
    Elsewhere,
    SameAgent,
}

/// Decides; `is_fresh` says whether the body can be sent (again).
pub(super) fn next(tried: Tried, repeatable: Repeatable, is_fresh: bool, tries_left: bool) -> Next {
    if !tries_left || !is_fresh {
        return Next::Answer;
    }
    let again = match repeatable {
        Repeatable::Anywhere => Next::Elsewhere,
        Repeatable::SameAgent => Next::SameAgent,
        Repeatable::Never => Next::Answer,
    };
    match tried {
        // It surely had no effect.
        Tried::NotReached | Tried::NotStarted => Next::Elsewhere,
        Tried::Cut | Tried::Answered(502..=504) => again,
        // The time is over, or this is the answer.
        Tried::TimedOut | Tried::Answered(_) => Next::Answer,
    }
}

/// Returns the pause before the next try, between three and five quarters of its exact length;
/// `chance` is anything random.
pub(super) fn pause(first: Duration, tries: u32, chance: u8) -> Duration {
    let exact = first * 2_u32.saturating_pow(tries.saturating_sub(1).min(16));
    exact * 3 / 4 + exact / 2 * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Tried; 7] = [
        Tried::NotReached,
        Tried::NotStarted,
        Tried::Cut,
        Tried::TimedOut,
        Tried::Answered(200),
        Tried::Answered(500),
        Tried::Answered(503),
    ];

    fn decided(repeatable: Repeatable) -> [Next; 7] {
        ALL.map(|tried| next(tried, repeatable, true, true))
    }

    #[test]
    fn what_may_have_had_an_effect_is_sent_again_only_where_that_is_safe() {
        use Next::{Answer, Elsewhere, SameAgent};

        assert_eq!(
            decided(Repeatable::Anywhere),
            [Elsewhere, Elsewhere, Elsewhere, Answer, Answer, Answer, Elsewhere]
        );
        assert_eq!(
            decided(Repeatable::SameAgent),
            [Elsewhere, Elsewhere, SameAgent, Answer, Answer, Answer, SameAgent]
        );
        assert_eq!(
            decided(Repeatable::Never),
            [Elsewhere, Elsewhere, Answer, Answer, Answer, Answer, Answer]
        );
    }

    #[test]
    fn the_last_try_and_a_body_that_is_gone_end_it() {
        for tried in ALL {
            assert_eq!(next(tried, Repeatable::Anywhere, true, false), Next::Answer);
            assert_eq!(next(tried, Repeatable::Anywhere, false, true), Next::Answer);
        }
    }

    #[test]
    fn pauses_double_within_a_quarter() {
        let first = Duration::from_millis(100);

        assert_eq!(pause(first, 1, 0), Duration::from_millis(75));
        assert_eq!(pause(first, 1, 255), Duration::from_millis(125));
        assert_eq!(pause(first, 3, 0), Duration::from_millis(300));
        assert_eq!(pause(first, 3, 255), Duration::from_millis(500));
    }
}
