use super::*;
use crate::beads::transcript::transcript;

fn found(text: &str) -> Vec<String> {
    ids_in_text(text).iter().map(ToString::to_string).collect()
}

#[test]
fn the_ids_of_a_text_listing_are_found() {
    let text = transcript("bd-1.0.5/poison-ready-text").stdout;

    assert_eq!(
        found(&text),
        ["hl-150", "hl-1wt", "hl-b34", "hl-b9b", "hl-os5", "hl-ti4", "hl-z0f"]
    );
}

#[test]
fn every_way_of_printing_a_line_is_understood() {
    let text = "\
📋 Ready work (2 issues with no active blockers):

1. [● P2] [task] my-lab-1: first
2. [● P2] [task] my-lab-1.2: child
◐ hl-b2n [● P2] [task] @y/box/1 - t1
├── ○ hl-c.1 ● P2 in a tree
--------------------------------------------------------------------------------
Status: ○ open  ◐ in_progress  ● blocked  ✓ closed
";

    assert_eq!(found(text), ["hl-b2n", "hl-c.1", "my-lab-1", "my-lab-1.2"]);
}

#[test]
fn a_second_line_of_a_title_is_not_a_bead() {
    let text = "○ hl-1 ● P2 title\nwith-a line two, see hl-7\n";

    assert_eq!(found(text), ["hl-1"]);
}
