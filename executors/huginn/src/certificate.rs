//! Until when a certificate is valid.
//!
//! Only this one field is read, of a certificate that the TLS library has taken apart and judged
//! already.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns the end of a certificate's validity (RFC 5280, 4.1.2.5). It is DER.
pub(crate) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (tag, certificate, _) = element(der)?;
    let (inner, signed, _) = element(certificate)?;
    if (tag, inner) != (SEQUENCE, SEQUENCE) {
        return None;
    }
    let mut rest = signed;
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    // The serial number, the algorithm, the issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// Splits the first element off: its tag, its contents, and what follows it.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = if first < 0x80 {
        usize::from(first)
    } else {
        let count = usize::from(first & 0x7f);
        if !(1..=4).contains(&count) || rest.len() < count {
            return None;
        }
        let (digits, after) = rest.split_at(count);
        rest = after;
        digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit))
    };
    let (contents, after) = rest.split_at_checked(length)?;
    Some((tag, contents, after))
}

/// Reads `YYMMDDHHMMSSZ`, or the same with four digits of the year.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, text.len()) {
        (UTC_TIME, 12) => {
            let year: i16 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        (GENERALIZED_TIME, 14) => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let two = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let time = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
        let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
        [&[tag, 0x82, length[0], length[1]][..], contents].concat()
    }

    fn certificate(with_version: bool, end: &[u8]) -> Vec<u8> {
        let validity = [tlv(UTC_TIME, b"260101000000Z"), end.to_vec()].concat();
        let version = if with_version { tlv(VERSION, &[2, 1, 2]) } else { Vec::new() };
        let signed = [
            version,
            tlv(2, &[1; 20]),
            tlv(SEQUENCE, &[6, 1, 1]),
            tlv(SEQUENCE, &[0; 300]),
            tlv(SEQUENCE, &validity),
        ];
        tlv(SEQUENCE, &tlv(SEQUENCE, &signed.concat()))
    }

    #[test]
    fn the_end_of_the_validity_is_found() {
        for (end, expected) in [
            (tlv(UTC_TIME, b"270228235959Z"), "2027-02-28T23:59:59Z"),
            (tlv(UTC_TIME, b"500101000000Z"), "1950-01-01T00:00:00Z"),
            (tlv(GENERALIZED_TIME, b"20500101000000Z"), "2050-01-01T00:00:00Z"),
        ] {
            for with_version in [false, true] {
                let found = not_after(&certificate(with_version, &end)).unwrap();
                assert_eq!(found.to_string(), expected);
            }
        }
    }

    #[test]
    fn what_is_cut_or_odd_is_nothing() {
        let whole = certificate(true, &tlv(UTC_TIME, b"270228235959Z"));
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
        for odd in [&b"270228235959"[..], b"270230000000Z", b"2702282359\xff9Z", b"-70228235959Z"] {
            assert_eq!(not_after(&certificate(true, &tlv(UTC_TIME, odd))), None);
        }
        assert_eq!(not_after(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(not_after(&[0x30, 0x80]), None);
    }
}
