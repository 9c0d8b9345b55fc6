//! The search for tokens by what no index of the databases covers: parts of texts, permissions, and networks.

use ipnet::IpNet;

use super::{
    cidr::CidrBlocks,
    permission::{Permission, PermissionSet},
    text::{fold_case, to_nfc, to_nfd},
    token::{TokenId, TokenIdPrefix},
};

/// What a search looks for. Fields that are `None` exclude nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchFilter {
    /// Tokens whose name or owner contains this text, ignoring case, or whose ID begins with it. A complete ID finds
    /// only its token.
    pub text: Option<String>,
    /// Tokens whose name contains this text, ignoring case.
    pub name: Option<String>,
    /// Tokens with this permission.
    pub permission: Option<Permission>,
    /// Tokens that may be used from an address of this network.
    pub network: Option<IpNet>,
}

impl SearchFilter {
    /// Returns `true` if the filter excludes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns `true` if a token with these fields matches.
    #[must_use]
    pub fn matches(&self, token: &SearchFields) -> bool {
        // Exhaustive: a filter that is ignored would make a bulk deletion delete too much.
        let Self {
            text,
            name,
            permission,
            network,
        } = self;
        let SearchFields {
            id,
            name: token_name,
            owner,
            permissions,
            allowed_cidr_blocks,
        } = token;
        let name_contains = |part: &SearchedText| part.is_in(&fold_case(token_name));
        text.as_deref()
            .map(TextOrId::new)
            .is_none_or(|searched| match searched {
                TextOrId::Id(searched) => searched == *id,
                TextOrId::Text(part, prefix) => {
                    let owner = owner.as_deref().map(fold_case);
                    name_contains(&part)
                        || owner.is_some_and(|owner| part.is_in(&owner))
                        || prefix.is_some_and(|prefix| prefix.contains(*id))
                }
            })
            && name
                .as_deref()
                .map(SearchedText::new)
                .is_none_or(|part| name_contains(&part))
            && permission.is_none_or(|permission| permissions.contains(permission))
            && network.is_none_or(|network| allowed_cidr_blocks.allow_part_of(&network))
    }
}

/// The fields of a token that a search looks at.
#[derive(Clone, Debug)]
pub struct SearchFields {
    /// The ID.
    pub id: TokenId,
    /// The name.
    pub name: String,
    /// The owner.
    pub owner: Option<String>,
    /// The permissions.
    pub permissions: PermissionSet,
    /// The CIDR blocks.
    pub allowed_cidr_blocks: CidrBlocks,
}

/// A text to search for among names, owners, and IDs.
pub enum TextOrId {
    /// A complete ID, which finds only its token.
    Id(TokenId),
    /// A part of a name or owner, which may be the beginning of an ID too.
    Text(SearchedText, Option<TokenIdPrefix>),
}

impl TextOrId {
    /// Reads what was typed.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.parse() {
            Ok(id) => Self::Id(id),
            Err(_) => Self::Text(SearchedText::new(text), text.parse().ok()),
        }
    }
}

/// A part of a text to search for, in any case and in either normal form: earlier versions stored names as they were
/// typed.
pub struct SearchedText(Vec<String>);

impl SearchedText {
    /// Reads what was typed. An empty text is in no text.
    #[must_use]
    pub fn new(part: &str) -> Self {
        let mut forms: Vec<_> = [to_nfc(part), to_nfd(part)]
            .iter()
            .map(|form| fold_case(form))
            .collect();
        forms.dedup();
        forms.retain(|form| !form.is_empty());
        Self(forms)
    }

    /// Returns the texts to look for, as [`fold_case`] returns them.
    pub fn forms(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn is_in(&self, folded: &str) -> bool {
        self.forms().any(|form| folded.contains(form))
    }
}

/// The row numbers of the tokens that a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowSet(Vec<i64>);

impl RowSet {
    /// Creates a set of rows, which must be sorted.
    #[must_use]
    pub fn from_sorted(rows: Vec<i64>) -> Self {
        debug_assert!(rows.is_sorted(), "the rows must be sorted");
        Self(rows)
    }

    /// Returns the rows in their order.
    #[must_use]
    pub fn rows(&self) -> &[i64] {
        &self.0
    }

    /// Returns the rows after this one.
    #[must_use]
    pub fn after(&self, row: i64) -> &[i64] {
        let start = self.0.partition_point(|found| *found <= row);
        self.0.get(start..).unwrap_or_default()
    }

    /// Returns the rows before this one.
    #[must_use]
    pub fn before(&self, row: i64) -> &[i64] {
        let end = self.0.partition_point(|found| *found < row);
        self.0.get(..end).unwrap_or_default()
    }

    /// Returns `true` if the row is in the set.
    #[must_use]
    pub fn contains(&self, row: i64) -> bool {
        self.0.binary_search(&row).is_ok()
    }
}
