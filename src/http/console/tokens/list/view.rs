//! The links and options of the list's page.

use super::found::Found;
use crate::{
    domain::{
        page::BoundedCount,
        permission::Permission,
        sort::{PagePosition, SortKey, SortedPage, TokenOrder},
        token_group::TokenGroup,
    },
    http::console::{
        text::{fill, number},
        texts::Texts,
        tokens::filters::{ListQuery, orders, title},
    },
};

/// A field of the query, for a link that changes it.
type QueryField = fn(&mut ListQuery) -> &mut String;

/// An option of a `<select>`.
pub struct SelectOption {
    pub value: String,
    pub title: &'static str,
    pub is_selected: bool,
}

/// A filter by status, as a link.
pub struct StatusLink {
    pub title: &'static str,
    pub count: Option<String>,
    pub link: String,
    pub is_current: bool,
}

/// A filter in effect, with the link that removes it.
pub struct ActiveFilter {
    pub text: String,
    pub remove: String,
    pub remove_link: String,
}

/// The links to the other pages of the list, and what this page shows of it.
#[derive(Default)]
pub struct Pages {
    pub range: Option<String>,
    pub first: Option<String>,
    pub previous: Option<String>,
    pub next: Option<String>,
}

/// The head of a column.
pub struct Column {
    pub title: &'static str,
    /// The current sort direction by this column, as a value of `aria-sort`.
    pub sorted: Option<&'static str>,
    /// The link that sorts by this column, or reverses the direction.
    pub link: Option<String>,
}

impl Column {
    const fn new(title: &'static str) -> Self {
        Self {
            title,
            sorted: None,
            link: None,
        }
    }
}

/// Says which filter cannot be used.
pub fn bad_filter(list: &ListQuery, texts: &Texts) -> String {
    match list.permission.parse::<Permission>() {
        Err(_) if !list.permission.is_empty() => fill(texts.bad_permission_filter, [&list.permission]),
        Ok(_) | Err(_) => fill(texts.bad_network_filter, [&list.network]),
    }
}

fn shown_count(count: BoundedCount) -> String {
    count
        .exact()
        .map_or_else(|| format!("{}+", number(BoundedCount::MAX)), number)
}

/// Builds the links and options of a list.
pub struct ListView<'q> {
    pub list: &'q ListQuery,
    /// The path of the console.
    pub base: &'q str,
    pub texts: &'static Texts,
}

impl ListView<'_> {
    /// Returns the link to the first page of this list with a change.
    fn link(&self, change: impl FnOnce(&mut ListQuery)) -> String {
        format!("{}{}", self.base, self.list.path_with(change))
    }

    /// Creates the header of a column that sorts the list: first in this direction, then
    /// alternately.
    fn sortable_column(&self, title: &'static str, by: SortKey, first_descending: bool) -> Column {
        let order = self.list.order();
        let descending = (by == order.by).then_some(order.descending);
        let next = TokenOrder {
            by,
            descending: descending.map_or(first_descending, |descending| !descending),
        };
        Column {
            title,
            sorted: descending.map(|descending| if descending { "descending" } else { "ascending" }),
            link: Some(self.link(|list| list.sort = Some(next))),
        }
    }

    pub fn columns(&self) -> Vec<Column> {
        let texts = self.texts;
        vec![
            self.sortable_column(texts.name, SortKey::Name, false),
            Column::new(texts.permissions),
            Column::new(texts.allowed_networks),
            self.sortable_column(texts.created, SortKey::Created, true),
            self.sortable_column(texts.last_used, SortKey::LastUsed, true),
            self.sortable_column(texts.expires, SortKey::Expires, false),
        ]
    }

    pub fn statuses(&self, found: Option<&Found>) -> Vec<StatusLink> {
        let link = |group: TokenGroup| StatusLink {
            title: title(group, self.texts),
            count: found
                .and_then(|found| found.number(group, self.list.show))
                .map(shown_count),
            // The order follows the filter.
            link: self.link(|list| (list.show, list.sort) = (group, None)),
            is_current: group == self.list.show,
        };
        TokenGroup::ALL.map(link).into()
    }

    pub fn active_filters(&self) -> Vec<ActiveFilter> {
        let (list, texts) = (self.list, self.texts);
        let permission = list.permission.parse::<Permission>();
        let permission = permission.map_or(list.permission.as_str(), |known| known.display_name());
        let filters: [(&str, &str, QueryField); 5] = [
            (texts.searched, &list.search, |list| &mut list.search),
            (texts.owner, &list.owner, |list| &mut list.owner),
            (texts.creator, &list.creator, |list| &mut list.creator),
            (texts.permission, permission, |list| &mut list.permission),
            (texts.network, &list.network, |list| &mut list.network),
        ];
        let given = filters.into_iter().filter(|(_, value, _)| !value.is_empty());
        let filter = |(name, value, field): (&str, &str, QueryField)| ActiveFilter {
            text: format!("{name}: {value}"),
            remove: fill(texts.remove_filter, [&name]),
            remove_link: self.link(|list| field(list).clear()),
        };
        given.map(filter).collect()
    }

    pub fn permission_options(&self) -> Vec<SelectOption> {
        let option = |permission: &Permission| SelectOption {
            value: permission.name().to_owned(),
            title: permission.display_name(),
            is_selected: permission.name() == self.list.permission,
        };
        let mut options: Vec<_> = Permission::ALL.iter().map(option).collect();
        options.sort_unstable_by_key(|option| option.title);
        options
    }

    pub fn order_options(&self) -> Vec<SelectOption> {
        let current = self.list.order();
        let option = |(order, title): (TokenOrder, &'static str)| SelectOption {
            value: order.to_string(),
            title,
            is_selected: order == current,
        };
        orders(self.texts).map(option).into()
    }

    pub fn pages(&self, found: &Found) -> Pages {
        let SortedPage {
            tokens,
            total: _, // `Found` has that of every list.
            preceding,
            previous,
            next,
        } = &found.page;
        let to = |position: PagePosition| self.link(|list| list.position = position);
        let total = shown_count(found.total);
        let range = preceding.exact().filter(|_| !tokens.is_empty()).map(|preceding| {
            let (first, last) = (preceding + 1, preceding + tokens.len() as u64);
            fill(self.texts.range, [&number(first), &number(last), &total])
        });
        Pages {
            range: range.or_else(|| Some(fill(self.texts.range_of, [&total])).filter(|_| !tokens.is_empty())),
            first: previous.as_ref().map(|_| to(PagePosition::Start)),
            previous: previous.clone().map(|first| to(PagePosition::Before(first))),
            next: next.clone().map(|last| to(PagePosition::After(last))),
        }
    }
}
