//! How the Beads programs differ, in one table, found by asking the program.

use std::fmt;

use super::error::BeadsError;
use super::{clean, parse};

/// The oldest `bd` whose failed commands fail and whose `ready` tells the truth.
const OLDEST: Version = Version(1, 0, 3);
/// Imports a stale `issues.jsonl` over the store: closed beads open again (beads #3948, #4128).
const REVERTS_CLOSES: Version = Version(1, 0, 4);
/// From here on a claim looks at the status; before, a closed bead was claimed and reopened.
const CLAIM_CHECKS_STATUS: Version = Version(1, 0, 4);
/// From here on a bead may be bigger than 64 KiB; before, every update stored the whole old bead
/// in a column of that size and failed (beads #4093).
const BIG_BEADS: Version = Version(1, 0, 5);
/// 64 KiB less what an attempt adds to a bead: its stamp, a note, a label.
const SIZE_LIMIT: usize = 58 * 1024;

/// A version of three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64, pub u64, pub u64);

impl Version {
    /// The first `N.N.N` in a text.
    fn find(text: &str) -> Option<Self> {
        let mut words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
        words.find_map(Self::exactly)
    }

    fn exactly(word: &str) -> Option<Self> {
        let mut numbers = word.trim_matches('.').split('.');
        let mut next = || numbers.next()?.parse().ok();
        Some(Self(next()?, next()?, next()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Which program it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// Beads itself.
    Bd,
    /// minibeads: for trying out.
    Mb,
}

/// What one program can do and how it wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a table of yes and no")]
pub struct Dialect {
    /// Which program it is.
    pub program: Program,
    /// `bd` or `mb`.
    pub name: &'static str,
    /// The version it told.
    pub version: Version,
    /// `ready` can be believed; else what is ready is worked out from a list of everything.
    /// minibeads 0.25 holds a bead back for ever once it has a blocker, closed or not.
    pub lists_ready: bool,
    /// Beads carry metadata; else orders come from labels and descriptions.
    pub has_metadata: bool,
    /// `ready` hides a bead until a time; else the coordinator keeps the time.
    pub has_defer: bool,
    /// The store keeps why a bead was closed; else it goes into the notes.
    pub has_close_reason: bool,
    /// A close reason may come from a file, so that it may be long and start with anything.
    pub reason_file: bool,
    /// A claim fails on a bead that is not open; else the status is looked at first.
    pub claim_checks_status: bool,
    /// The answer of a claim proves it; else the bead is read again.
    pub claim_proves: bool,
    /// Beads of this many bytes and more cannot be updated.
    pub size_limit: Option<usize>,
    /// `update` has `--if-assignee` and `--if-status`.
    pub guards: bool,
    /// There is an `unclaim`.
    pub unclaim: bool,
    /// A claim is a lease that must be renewed, or anybody's `reclaim` may take the bead.
    pub leases: bool,
    /// A command may be ended when it hangs; else ending it loses a bead.
    pub may_be_ended: bool,
    /// The store survives a kill and two writers at once.
    pub for_keeps: bool,
}

impl Dialect {
    /// What the program says of itself, as `version --json` printed it.
    pub(super) fn from_version(said: &str) -> Option<(Program, Version)> {
        if let Some(version) = said.trim_start().strip_prefix("mb version ") {
            return Some((Program::Mb, Version::find(version)?));
        }
        // A warning about two programs on PATH may stand before the JSON.
        let json = said.find('{').and_then(|at| parse::first_value(&said[at..]));
        let told = json.as_ref().and_then(|value| value.get("version")?.as_str());
        let plain = said.lines().find_map(|line| line.strip_prefix("bd version "));
        Some((Program::Bd, Version::find(told.or(plain)?)?))
    }

    /// The row of a program, from its version and the help texts of `update` and `close`.
    ///
    /// # Errors
    /// A version that must not be used.
    pub(super) fn new(
        program: Program,
        version: Version,
        help: &Help<'_>,
    ) -> Result<Self, BeadsError> {
        match program {
            Program::Bd => Self::bd(version, help),
            Program::Mb => Ok(Self::mb(version)),
        }
    }

    fn bd(version: Version, help: &Help<'_>) -> Result<Self, BeadsError> {
        let refuse = |why| Err(BeadsError::Version { program: format!("bd {version}"), why });
        if version == REVERTS_CLOSES {
            return refuse("it reverts closes from a stale issues.jsonl");
        }
        if version < OLDEST {
            return refuse(
                "it is older than 1.0.3, the oldest version whose answers can be trusted",
            );
        }
        Ok(Self {
            program: Program::Bd,
            name: "bd",
            version,
            lists_ready: true,
            has_metadata: true,
            has_defer: true,
            has_close_reason: true,
            reason_file: help.close.contains("--reason-file"),
            claim_checks_status: version >= CLAIM_CHECKS_STATUS,
            claim_proves: true,
            size_limit: (version < BIG_BEADS).then_some(SIZE_LIMIT),
            guards: help.update.contains("--if-assignee") && help.update.contains("--if-status"),
            unclaim: help.unclaim.contains("--if-assignee"),
            leases: help.heartbeat.contains("heartbeat"),
            may_be_ended: true,
            for_keeps: true,
        })
    }

    fn mb(version: Version) -> Self {
        Self {
            program: Program::Mb,
            name: "mb",
            version,
            lists_ready: false,
            has_metadata: false,
            has_defer: false,
            has_close_reason: false,
            reason_file: false,
            claim_checks_status: false,
            claim_proves: false,
            size_limit: None,
            guards: false,
            unclaim: false,
            leases: false,
            may_be_ended: false,
            for_keeps: false,
        }
    }

    /// What to say at start of a store that is only for trying out.
    pub fn warning(&self) -> Option<String> {
        let text = "is no store for keeps: it loses beads when it is killed or when two write at once; install bd for real work";
        (!self.for_keeps).then(|| format!("{self} {text}"))
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// The help texts that tell what `bd` can do; empty where the program has no such command.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Help<'a> {
    /// `update --help`.
    pub(super) update: &'a str,
    /// `close --help`.
    pub(super) close: &'a str,
    /// `unclaim --help`.
    pub(super) unclaim: &'a str,
    /// `heartbeat --help`.
    pub(super) heartbeat: &'a str,
}

/// The beginning of an answer, for an error.
pub(super) fn beginning(said: &str) -> String {
    clean::one_line(said, 120)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: &str = "--claim\n --set-metadata";
    const CLOSE: &str = "--reason string\n --reason-file string";

    fn bd(version: &str, help: &Help<'_>) -> Result<Dialect, BeadsError> {
        let said = format!("{{\"version\": \"{version}\", \"schema_version\": 1}}");
        let (program, version) = Dialect::from_version(&said).unwrap();
        Dialect::new(program, version, help)
    }

    #[test]
    fn a_version_is_found_in_every_shape_it_is_printed_in() {
        let cases = [
            ("mb version 0.25.0\n", Some((Program::Mb, Version(0, 25, 0)))),
            ("{\"version\": \"1.0.5\"}", Some((Program::Bd, Version(1, 0, 5)))),
            ("bd version 1.0.5 (dev)\n", Some((Program::Bd, Version(1, 0, 5)))),
            (
                "warning: two bd in PATH\n{\"version\":\"1.3.2-rc1\"}",
                Some((Program::Bd, Version(1, 3, 2))),
            ),
            ("GNU bash, version 5.2.15", None),
            ("bd version dev", None),
            ("{\"version\": 3}", None),
            ("", None),
        ];
        for (said, expected) in cases {
            assert_eq!(Dialect::from_version(said), expected, "{said:?}");
        }
    }

    #[test]
    fn versions_that_lie_are_refused_with_the_reason() {
        let old = bd("1.0.2", &Help::default()).unwrap_err();
        let reverting = bd("1.0.4", &Help::default()).unwrap_err();

        assert!(
            old.to_string().contains("bd 1.0.2 cannot be used: it is older than 1.0.3"),
            "{old}"
        );
        assert!(reverting.to_string().contains("it reverts closes"), "{reverting}");
        assert!(reverting.remedy().unwrap().contains("1.0.5"));
    }

    #[test]
    fn each_version_gets_its_row() {
        let old =
            bd("1.0.3", &Help { update: UPDATE, close: "--reason string", ..Help::default() });
        let now = bd("1.0.5", &Help { update: UPDATE, close: CLOSE, ..Help::default() });
        let new = bd(
            "1.3.1",
            &Help {
                update: "--if-assignee string --if-status string",
                close: CLOSE,
                unclaim: "--if-assignee string",
                heartbeat: "bd heartbeat [id...] [flags]",
            },
        );

        let row = |d: Dialect| {
            (d.reason_file, d.claim_checks_status, d.size_limit.is_some(), d.guards, d.leases)
        };
        assert_eq!(row(old.unwrap()), (false, false, true, false, false));
        assert_eq!(row(now.unwrap()), (true, true, false, false, false));
        assert_eq!(row(new.unwrap()), (true, true, false, true, true));
    }

    #[test]
    fn minibeads_says_that_it_is_no_store_for_keeps() {
        let mb = Dialect::new(Program::Mb, Version(0, 25, 0), &Help::default()).unwrap();

        assert_eq!(mb.to_string(), "mb 0.25.0");
        assert!(mb.warning().unwrap().starts_with("mb 0.25.0 is no store for keeps"));
    }
}
