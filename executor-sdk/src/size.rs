//! Sizes as people write them.

/// Reads a number of bytes: `1048576`, `512K`, `16M`, `2G` (powers of 1024).
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim().to_ascii_uppercase();
    let factor: u64 = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return Err(expected(text)),
    };
    let number: u64 = digits.trim().parse().map_err(|_| expected(text))?;
    number.checked_mul(factor).ok_or_else(|| format!("`{text}` is too large"))
}

fn expected(text: &str) -> String {
    format!("expected a number of bytes such as 16M or 2G, found `{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        assert_eq!(parse("7"), Ok(7));
        assert_eq!(parse("512K"), Ok(512 * 1024));
        assert_eq!(parse("16m"), Ok(16 * 1024 * 1024));
        assert_eq!(parse("2GiB"), Ok(2 * 1024 * 1024 * 1024));
        for text in ["", "M", "1.5M", "-1", "1X", "99999999999T"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
