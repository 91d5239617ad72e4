//! Text → numbers, by the rules of the reference: signs, leading zeros, digits of any script.

use crate::template::value::compare_digits;

/// The first code point of every run of ten decimal digits outside of ASCII.
const DIGIT_ZEROS: &[u32] = &[
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6,
    0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0,
    0x11730, 0x118E0, 0x11C50, 0x11D50, 0x16A60, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC,
    0x1D7F6, 0x1E950,
];

/// The text with the decimal digits of every script as ASCII digits.
pub(in crate::template) fn ascii_digits(text: &str) -> String {
    text.chars()
        .map(|character| {
            let code = character as u32;
            if code < 0x80 {
                return character;
            }
            let after = DIGIT_ZEROS.partition_point(|zero| *zero <= code);
            match after.checked_sub(1).map(|at| code - DIGIT_ZEROS[at]) {
                Some(digit @ 0..=9) => char::from_digit(digit, 10).unwrap_or(character),
                _ => character,
            }
        })
        .collect()
}

/// An integer in its normal form: no `+`, no leading zeros, no `-0`. `None` if the text is not one. One trailing line break is tolerated.
pub(super) fn integer(text: &str, sign_allowed: bool) -> Option<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = ascii_digits(text);
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') if sign_allowed => (true, &text[1..]),
        Some(b'+') if sign_allowed => (false, &text[1..]),
        _ => (false, text.as_str()),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0');
    Some(match (negative, digits) {
        (_, "") => "0".into(),
        (true, digits) => format!("-{digits}"),
        (false, digits) => digits.to_owned(),
    })
}

/// A float. Blanks around it are allowed, underscores are not.
pub(super) fn float(text: &str) -> Option<f64> {
    let text = ascii_digits(text.trim());
    if text.contains('_') {
        return None;
    }
    text.parse().ok()
}

const MAX_256: &str =
    "57896044618658097711785492504343953926634992332820282019728792003956564819967";
const MIN_256: &str =
    "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
const MAX_U256: &str =
    "115792089237316195423570985008687907853269984665640564039457584007913129639935";

/// Whether an integer in normal form fits a type of that many bits.
pub(super) fn fits(digits: &str, bits: u16, signed: bool) -> bool {
    let (low, high) = match (bits, signed) {
        (256, true) => (MIN_256.to_owned(), MAX_256.to_owned()),
        (256, false) => ("0".to_owned(), MAX_U256.to_owned()),
        (128, true) => (i128::MIN.to_string(), i128::MAX.to_string()),
        (128, false) => ("0".to_owned(), u128::MAX.to_string()),
        (bits, true) => {
            let half = 1i128 << (bits - 1);
            ((-half).to_string(), (half - 1).to_string())
        }
        (bits, false) => ("0".to_owned(), ((1i128 << bits) - 1).to_string()),
    };
    compare_digits(digits, &low).is_ge() && compare_digits(digits, &high).is_le()
}
