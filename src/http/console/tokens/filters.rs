//! The query of the token list: filters, order, and position.

use crate::{
    domain::{
        Invalid,
        cidr::parse_network,
        clock::Timestamp,
        page::{ColumnFilter, TokenFilter},
        permission::Permission,
        search::SearchFilter,
        sort::{PagePosition, SortKey, SortedCursor, TokenOrder},
        token_group::TokenGroup,
        value::find_value,
    },
    http::{
        console::{
            fields::FormFields,
            paths::{TOKENS, build_query},
            texts::Texts,
        },
        extract::query,
    },
};

/// Returns the label of a group.
pub const fn title(group: TokenGroup, texts: &Texts) -> &'static str {
    match group {
        TokenGroup::All => texts.show_every,
        TokenGroup::Active => texts.show_active,
        TokenGroup::Disabled => texts.show_disabled,
        TokenGroup::Expired => texts.show_expired,
        TokenGroup::Expiring => texts.show_expiring,
        TokenGroup::NeverUsed => texts.show_never_used,
        TokenGroup::Unused => texts.show_unused,
        TokenGroup::RotationDue => texts.show_rotation_due,
        TokenGroup::Legacy => texts.show_legacy,
    }
}

/// Returns the order of a group unless the user chose another: what needs attention first comes first.
fn default_order(group: TokenGroup) -> TokenOrder {
    let order = |by, descending| TokenOrder { by, descending };
    match group {
        TokenGroup::All | TokenGroup::Active | TokenGroup::Disabled | TokenGroup::Legacy => TokenOrder::default(),
        TokenGroup::Expiring => order(SortKey::Expires, false),
        TokenGroup::Expired => order(SortKey::Expires, true),
        TokenGroup::Unused => order(SortKey::LastUsed, false),
        TokenGroup::NeverUsed | TokenGroup::RotationDue => order(SortKey::Created, false),
    }
}

/// Returns the sort orders with their labels.
pub fn orders(texts: &Texts) -> [(TokenOrder, &'static str); 8] {
    let order = |by, descending| TokenOrder { by, descending };
    [
        (order(SortKey::Created, true), texts.sort_newest),
        (order(SortKey::Created, false), texts.sort_oldest),
        (order(SortKey::Name, false), texts.sort_name),
        (order(SortKey::Name, true), texts.sort_name_back),
        (order(SortKey::LastUsed, false), texts.sort_unused_first),
        (order(SortKey::LastUsed, true), texts.sort_used_first),
        (order(SortKey::Expires, false), texts.sort_expires_first),
        (order(SortKey::Expires, true), texts.sort_expires_last),
    ]
}

/// The list that a request asks for. Unknown and malformed parameters of old or hand-written links are ignored, save
/// filters: a list without the filter would mislead.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// The text to search for.
    pub search: String,
    /// The group.
    pub show: TokenGroup,
    /// The owner.
    pub owner: String,
    /// The ID of the creator.
    pub creator: String,
    /// The name of a permission.
    pub permission: String,
    /// An address or a CIDR block.
    pub network: String,
    /// The order that the user chose.
    pub sort: Option<TokenOrder>,
    /// The place of the page.
    pub position: PagePosition,
}

impl ListQuery {
    /// Parses the query of a URL.
    pub fn parse(text: &str) -> Self {
        let pairs: Vec<(String, String)> = query::parse(text).unwrap_or_default();
        let value = |name: &str| pairs.iter().find(|(known, _)| known == name);
        Self::read(|name| value(name).map_or("", |(_, value)| value))
    }

    /// Reads the fields of the search form.
    pub fn from_fields(fields: &FormFields) -> Self {
        Self::read(|name| fields.text(name))
    }

    fn read<'f>(value: impl Fn(&str) -> &'f str) -> Self {
        // Nothing that is searched contains a control character, and PostgreSQL refuses NUL.
        let text = |name: &str| -> String {
            let text: String = value(name).chars().filter(|letter| !letter.is_control()).collect();
            text.trim().to_owned()
        };
        let cursor = |name: &str| value(name).parse::<SortedCursor>().ok();
        let show = TokenGroup::ALL.into_iter().find(|show| show.name() == value("show"));
        Self {
            search: text("search"),
            show: show.unwrap_or_default(),
            owner: text("owner"),
            creator: text("creator"),
            permission: text("permission"),
            network: text("network"),
            sort: value("sort").parse().ok(),
            position: match (cursor("after"), cursor("before")) {
                (Some(after), _) => PagePosition::After(after),
                (None, Some(before)) => PagePosition::Before(before),
                (None, None) => PagePosition::Start,
            },
        }
    }

    fn texts_mut(&mut self) -> [&mut String; 5] {
        [
            &mut self.search,
            &mut self.owner,
            &mut self.creator,
            &mut self.permission,
            &mut self.network,
        ]
    }

    /// Takes what looks like the value of a token out of the query, so that no link contains it.
    pub fn take_value(&mut self) -> Option<String> {
        let mut found = None;
        for text in self.texts_mut() {
            if let Some(value) = find_value(text) {
                found = Some(value.to_owned());
                text.clear();
            }
        }
        found
    }

    /// Returns the order of the list.
    pub fn order(&self) -> TokenOrder {
        self.sort.unwrap_or_else(|| default_order(self.show))
    }

    /// Returns the filter.
    ///
    /// # Errors
    /// [`Invalid`] for a permission or a network that does not exist.
    pub fn filter(&self, now: Timestamp, legacy_uuid_auth: bool) -> Result<TokenFilter, Invalid> {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let permission = given(&self.permission).map(|name| name.parse::<Permission>());
        let network = given(&self.network).map(|network| parse_network(&network));
        let search = SearchFilter {
            text: given(&self.search),
            name: None,
            permission: permission.transpose()?,
            network: network.transpose()?,
        };
        let columns = ColumnFilter {
            owner: given(&self.owner),
            created_by: given(&self.creator),
            ..self.show.filter(now, legacy_uuid_auth)
        };
        Ok(TokenFilter { search, columns })
    }

    /// Returns the path of the list below the console.
    pub fn path(&self) -> String {
        let Self {
            search,
            show,
            owner,
            creator,
            permission,
            network,
            sort,
            position,
        } = self;
        let order = sort.filter(|order| *order != default_order(*show));
        let (after, before) = match position {
            PagePosition::Start => (None, None),
            PagePosition::After(cursor) => (Some(cursor), None),
            PagePosition::Before(cursor) => (None, Some(cursor)),
        };
        let shown = |cursor: Option<&SortedCursor>| cursor.map(ToString::to_string).unwrap_or_default();
        let pairs = [
            ("search", search.as_str()),
            ("show", show.name()),
            ("owner", owner),
            ("creator", creator),
            ("permission", permission),
            ("network", network),
            ("sort", &order.map(|order| order.to_string()).unwrap_or_default()),
            ("after", &shown(after)),
            ("before", &shown(before)),
        ];
        format!("{TOKENS}{}", build_query(&pairs))
    }

    /// Returns the path of the first page of the list with a change.
    pub fn path_with(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut changed = Self {
            position: PagePosition::Start,
            ..self.clone()
        };
        change(&mut changed);
        changed.path()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_the_same_path_again() {
        for (query, path) in [
            ("", "/tokens"),
            (
                "show=unused&sort=last-used&owner=+ops+",
                "/tokens?show=unused&owner=ops",
            ),
            ("search=a%26b%00&show=nonsense&nonsense=1", "/tokens?search=a%26b"),
            (
                "permission=AlertRead&network=10.0.0.7",
                "/tokens?permission=AlertRead&network=10.0.0.7",
            ),
            ("sort=-name&before=MSA9YQ", "/tokens?sort=-name&before=MSA9YQ"),
            ("after=nonsense&sort=nonsense", "/tokens"),
        ] {
            let list = ListQuery::parse(query);
            assert_eq!(list.path(), path, "{query}");
            let again = path.split_once('?').map_or("", |(_, query)| query);
            assert_eq!(ListQuery::parse(again).path(), path);
        }
    }

    #[test]
    fn values_are_taken_out_of_every_text() {
        for name in ["search", "owner", "creator", "permission", "network"] {
            let mut list = ListQuery::parse(&format!("{name}=X-API-Key:+tbk_abc&show=legacy"));
            assert_eq!(list.take_value().as_deref(), Some("tbk_abc"), "{name}");
            assert_eq!(list.path(), "/tokens?show=legacy");
            assert_eq!(list.take_value(), None);
        }
    }
}
