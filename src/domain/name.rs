//! Names.

use super::Invalid;

const LONGEST: usize = 255;

/// What people call a token: 1 to 255 characters, no control characters, not only blanks. Names need not be unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenName(String);

impl TokenName {
    /// Takes `text` as a name.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        check("name", &text)?;
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An admin's name: what a token's name may be, and no colon, which RFC 7617 uses to end it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdminName(String);

impl AdminName {
    /// Takes `text` as a name.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        const FIELD: &str = "admin name";
        let text = text.into();
        check(FIELD, &text)?;
        if text.contains(':') {
            return Err(Invalid::new(
                FIELD,
                "a colon cannot be part of it: HTTP Basic ends the name there",
            ));
        }
        Ok(Self(text))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.trim().is_empty() {
        return Err(Invalid::new(field, "it must not be empty or only blanks"));
    }
    let length = text.chars().count();
    if length > LONGEST {
        return Err(Invalid::new(
            field,
            format!("it has {length} characters; {LONGEST} are the most"),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(
            field,
            "control characters such as line ends cannot be part of it",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_counted_in_characters() {
        assert!(TokenName::parse("é".repeat(255)).is_ok());
        assert_eq!(
            TokenName::parse("é".repeat(256)).unwrap_err().to_string(),
            "name: it has 256 characters; 255 are the most"
        );
    }

    #[test]
    fn admin_names_have_no_colon() {
        assert!(AdminName::parse("Jürgen O'Neil").is_ok());
        for bad in ["", "  ", "a:b", "a\nb"] {
            assert!(AdminName::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_taken_exactly_when_the_rules_say_so(text in ".{0,300}") {
            let right = !text.trim().is_empty() && text.chars().count() <= 255 && !text.chars().any(char::is_control);
            prop_assert_eq!(TokenName::parse(text).is_ok(), right);
        }
    }
}
