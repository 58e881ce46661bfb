//! Points as bars of text.

use std::fmt::Write as _;

/// How long the longest bar is.
const WIDTH: f64 = 50.0;

/// Draws a bar for each point, as long as its value, the highest as long as a line allows.
pub(crate) fn bars(title: &str, unit: &str, points: &[(usize, f64)]) -> String {
    let highest = points.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let mut text = format!("\n{title}\n");
    for (at, value) in points {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the length of a bar: not negative, and at most its greatest width"
        )]
        let length = (value / highest * WIDTH).round().max(1.0) as usize;
        let bar = "#".repeat(length);
        writeln!(text, "{at:>7} runners  {bar} {value:.1} {unit}")
            .expect("a String can be written");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_highest_has_the_longest_bar() {
        let text = super::bars("cost", "ms", &[(10, 1.0), (100, 2.0)]);

        let bars: Vec<usize> = text.lines().map(|line| line.matches('#').count()).collect();
        assert_eq!(bars, [0, 0, 25, 50]);
        assert!(text.contains("    100 runners"), "{text}");
    }
}
