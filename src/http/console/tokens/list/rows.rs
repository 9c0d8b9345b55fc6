//! The rows of the token list.

use crate::{
    domain::{
        clock::Timestamp,
        permission::Permission,
        token::{Token, TokenIdPrefix},
    },
    http::console::{
        display_time::DisplayTime,
        layout::Layout,
        paths::Back,
        text::{count, fill},
        token_label::SHORT_ID_CHARS,
        tokens::{Badge, badges, describe_actor},
    },
};

/// A row of the list.
pub struct TokenRow {
    pub id: String,
    pub name: Highlighted,
    pub badges: Vec<Badge>,
    /// The first characters of the ID.
    pub short_id: Highlighted,
    pub owner: Option<Highlighted>,
    pub permissions: Summary,
    pub networks: Summary,
    pub created: DisplayTime,
    pub by: String,
    pub last_used: Option<DisplayTime>,
    pub expires: Option<DisplayTime>,
    /// The label of the check box.
    pub select: String,
    pub link: String,
    pub edit_link: String,
    pub rotate_link: String,
    pub delete_link: String,
}

impl TokenRow {
    /// Creates the row of a token in a list that was searched for `search`; pages return to `back`.
    pub fn new(token: &Token, search: &str, back: &Back, layout: &Layout) -> Self {
        let Token {
            id,
            name,
            permissions,
            allowed_cidr_blocks,
            created,
            owner,
            last_used_at,
            expires_at,
            // Only the token's own page shows these; the badges show the others.
            rotated_at: _,
            updated: _,
            description: _,
            has_value: _,
            disabled_at: _,
            version: _,
        } = token;
        let texts = layout.texts;
        let when = |time: Option<Timestamp>| time.map(|time| layout.display_time(time));
        let page = format!("{}/tokens/{id}", layout.base);
        let prefix = search
            .parse::<TokenIdPrefix>()
            .map(|_| search.to_owned())
            .unwrap_or_default();
        let short_id: String = id.to_string().chars().take(prefix.len().max(SHORT_ID_CHARS)).collect();
        Self {
            id: id.to_string(),
            name: Highlighted::new(name.as_str(), search),
            badges: badges(token, layout),
            short_id: Highlighted::new(&short_id, &prefix),
            owner: owner.as_ref().map(|owner| Highlighted::new(owner.as_str(), search)),
            permissions: Summary::new(
                permissions.iter().map(Permission::display_name),
                texts.no_permissions,
                texts.permission_count,
            ),
            networks: Summary::new(allowed_cidr_blocks.iter(), texts.everywhere, texts.network_count),
            created: layout.display_time(created.at),
            by: describe_actor(&created.by, texts),
            last_used: when(*last_used_at),
            expires: when(expires_at.time()),
            select: fill(texts.select_token, [&name.as_str()]),
            edit_link: back.link_from(&format!("{page}/edit")),
            rotate_link: back.link_from(&format!("{page}/rotate")),
            delete_link: back.link_from(&format!("{page}/delete")),
            link: back.link_from(&page),
        }
    }
}

/// A list in one line: its only entry, or the number of entries.
pub struct Summary {
    pub text: String,
    /// All entries, if the text does not show them.
    pub all: Option<String>,
    pub is_empty: bool,
}

impl Summary {
    fn new(entries: impl Iterator<Item = impl ToString>, none: &str, several: &str) -> Self {
        let entries: Vec<String> = entries.map(|entry| entry.to_string()).collect();
        let (text, all) = match entries.as_slice() {
            [] => (none.to_owned(), None),
            [one] => (one.clone(), None),
            all => (count(several, all.len() as u64), Some(all.join(", "))),
        };
        Self {
            text,
            all,
            is_empty: entries.is_empty(),
        }
    }
}

/// A text in which the part that a search found is highlighted.
#[derive(Debug, PartialEq, Eq)]
pub struct Highlighted {
    pub before: String,
    pub found: String,
    pub after: String,
}

impl Highlighted {
    fn new(text: &str, search: &str) -> Self {
        let search: Vec<char> = search.chars().flat_map(char::to_lowercase).collect();
        let found = text
            .char_indices()
            .find_map(|(start, _)| Some((start, start + matching_bytes(text.get(start..)?, &search)?)));
        let (start, end) = found.filter(|_| !search.is_empty()).unwrap_or((text.len(), text.len()));
        let part = |from, to| text.get(from..to).unwrap_or_default().to_owned();
        Self {
            before: part(0, start),
            found: part(start, end),
            after: part(end, text.len()),
        }
    }

    /// Returns the whole text.
    pub fn text(&self) -> String {
        format!("{}{}{}", self.before, self.found, self.after)
    }
}

/// Returns the number of bytes at the start of a text that match letters in lower case, ignoring case.
fn matching_bytes(text: &str, letters: &[char]) -> Option<usize> {
    let (mut rest, mut bytes) = (letters, 0);
    for letter in text.chars() {
        if rest.is_empty() {
            break;
        }
        for folded in letter.to_lowercase() {
            let (first, others) = rest.split_first()?;
            if *first != folded {
                return None;
            }
            rest = others;
        }
        bytes += letter.len_utf8();
    }
    rest.is_empty().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_found_part_is_highlighted_in_any_case() {
        for (text, search, expected) in [
            ("An Agent", "age", ("An ", "Age", "nt")),
            ("an agent", "agent", ("an ", "agent", "")),
            ("Äpfel", "äP", ("", "Äp", "fel")),
            ("aab", "ab", ("a", "ab", "")),
            ("agent", "x", ("agent", "", "")),
            ("agent", "", ("agent", "", "")),
            ("age", "agent", ("age", "", "")),
        ] {
            let shown = Highlighted::new(text, search);
            assert_eq!(
                (&*shown.before, &*shown.found, &*shown.after),
                expected,
                "{text} {search}"
            );
            assert_eq!(shown.text(), text);
        }
    }
}
