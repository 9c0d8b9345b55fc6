//! Filling of the console's texts.

use std::fmt::Display;

/// Replaces each `{}` in a text with the next value.
pub fn fill<const N: usize>(text: &str, values: [&dyn Display; N]) -> String {
    let mut parts = text.split("{}");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for (part, value) in parts.zip(values) {
        filled.push_str(&value.to_string());
        filled.push_str(part);
    }
    filled
}

/// Formats a number with a comma between each three digits.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut separated = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            separated.push(',');
        }
        separated.push(digit);
    }
    separated
}

/// Fills the placeholder of a text with a number, in the singular form (before `|`) for 1.
pub fn count(text: &str, counted: u64) -> String {
    fill(plural_form(text, counted), [&number(counted)])
}

/// Returns the form of a text for a number: before `|` for 1, behind it for others.
pub fn plural_form(text: &str, counted: u64) -> &str {
    let (singular, plural) = text.split_once('|').unwrap_or((text, text));
    if counted == 1 { singular } else { plural }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_order() {
        assert_eq!(fill("{} of {}", [&1, &"two"]), "1 of two");
        assert_eq!(fill("none", [&1]), "none");
        assert_eq!(fill("{}", [&"{}"]), "{}");
    }

    #[test]
    fn numbers_are_separated_and_choose_the_form() {
        for (value, text) in [
            (0, "0 tokens"),
            (1, "1 token"),
            (12, "12 tokens"),
            (999, "999 tokens"),
            (1000, "1,000 tokens"),
            (25_153, "25,153 tokens"),
            (1_234_567, "1,234,567 tokens"),
        ] {
            assert_eq!(count("{} token|{} tokens", value), text);
        }
        assert_eq!(count("토큰 {}개", 1), "토큰 1개");
    }
}
