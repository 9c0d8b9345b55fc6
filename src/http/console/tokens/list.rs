//! The token list.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::{Badge, badges, describe_actor};
use crate::{
    domain::{
        attention::{EXPIRING_WITHIN, STALE_AFTER},
        clock::Timestamp,
        page::{PageSize, TokenFilter, TokenState},
        permission::Permission,
        sort::{SortKey, SortedCursor, TokenOrder},
        token::Token,
    },
    http::{
        console::{
            display_time::DisplayTime, layout::Layout, paths::build_query, render_page, session::ConsoleSession,
            text::fill, texts::Texts,
        },
        error::ApiError,
        extract::{query::read_query, state},
    },
};

/// Maximum number of permissions and blocks in a row. Further ones are counted.
const MAX_SHOWN: usize = 3;

/// The status filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusFilter {
    All,
    Active,
    Disabled,
    Expired,
    Expiring,
    NeverUsed,
    Unused,
    RotationDue,
    Legacy,
}

impl StatusFilter {
    const ALL: [Self; 9] = [
        Self::All,
        Self::Active,
        Self::Disabled,
        Self::Expired,
        Self::Expiring,
        Self::NeverUsed,
        Self::Unused,
        Self::RotationDue,
        Self::Legacy,
    ];

    /// Returns the name in the query string; empty for all tokens.
    const fn name(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Expiring => "expiring",
            Self::NeverUsed => "never-used",
            Self::Unused => "unused",
            Self::RotationDue => "rotation-due",
            Self::Legacy => "legacy",
        }
    }

    const fn title(self, texts: &Texts) -> &'static str {
        match self {
            Self::All => texts.show_every,
            Self::Active => texts.show_active,
            Self::Disabled => texts.show_disabled,
            Self::Expired => texts.show_expired,
            Self::Expiring => texts.show_expiring,
            Self::NeverUsed => texts.show_never_used,
            Self::Unused => texts.show_unused,
            Self::RotationDue => texts.show_rotation_due,
            Self::Legacy => texts.show_legacy,
        }
    }

    fn filter(self, name: &str, now: Timestamp, legacy_uuid_auth: bool) -> TokenFilter {
        let all = TokenFilter {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            legacy_uuid_auth,
            ..TokenFilter::default()
        };
        let in_state = |state| TokenFilter {
            state: Some(state),
            ..all.clone()
        };
        let long_ago = now.saturating_sub(STALE_AFTER);
        match self {
            Self::All => all,
            Self::Active => in_state(TokenState::Active),
            Self::Disabled => in_state(TokenState::Disabled),
            Self::Expired => in_state(TokenState::Expired),
            Self::NeverUsed => in_state(TokenState::NeverUsed),
            Self::Legacy => in_state(TokenState::Legacy),
            Self::Expiring => TokenFilter {
                expires_before: Some(now.saturating_add(EXPIRING_WITHIN)),
                ..in_state(TokenState::Active)
            },
            Self::Unused => TokenFilter {
                unused_since: Some(long_ago),
                ..all
            },
            Self::RotationDue => TokenFilter {
                value_older_than: Some(long_ago),
                ..all
            },
        }
    }
}

/// Returns the sort orders with their labels.
fn orders(texts: &Texts) -> [(TokenOrder, &'static str); 8] {
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

#[derive(Deserialize)]
struct TokenListQuery {
    #[serde(default)]
    name: String,
    #[serde(default)]
    show: String,
    #[serde(default)]
    sort: String,
    #[serde(default)]
    after: String,
    done: Option<String>,
}

/// An option of a `<select>`.
struct SelectOption {
    value: String,
    title: &'static str,
    is_selected: bool,
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokenListPage {
    layout: Layout,
    notice: Option<&'static str>,
    name: String,
    shows: Vec<SelectOption>,
    sorts: Vec<SelectOption>,
    columns: Vec<Column>,
    rows: Vec<TokenRow>,
    /// `true` if no filter applies. An empty list then means that there are no tokens.
    is_unfiltered: bool,
    first: Option<String>,
    next: Option<String>,
}

/// The head of a column.
struct Column {
    title: &'static str,
    /// The current sort direction by this column, as a value of `aria-sort`.
    sorted: Option<&'static str>,
    /// The link that sorts by this column, or reverses the direction.
    link: Option<String>,
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

/// A row of the list.
struct TokenRow {
    id: String,
    name: String,
    badges: Vec<Badge>,
    permissions: Vec<&'static str>,
    more_permissions: Option<String>,
    blocks: Vec<String>,
    more_blocks: Option<String>,
    created: DisplayTime,
    by: String,
    last_used: Option<DisplayTime>,
    rotated: Option<DisplayTime>,
    expires: Option<DisplayTime>,
}

impl TokenRow {
    fn new(token: &Token, layout: &Layout) -> Self {
        let Token {
            id,
            name,
            permissions,
            allowed_cidr_blocks,
            created,
            rotated_at,
            last_used_at,
            expires_at,
            // Only the token's own page shows these; the badges show the others.
            updated: _,
            description: _,
            owner: _,
            has_value: _,
            disabled_at: _,
            version: _,
        } = token;
        let texts = layout.texts;
        let more = |all: usize| (all > MAX_SHOWN).then(|| fill(texts.and_more, [&(all - MAX_SHOWN)]));
        let permissions: Vec<_> = permissions.iter().map(Permission::display_name).collect();
        let blocks: Vec<_> = allowed_cidr_blocks.iter().map(ToString::to_string).collect();
        let when = |time: Option<Timestamp>| time.map(|time| layout.display_time(time));
        Self {
            id: id.to_string(),
            name: name.as_str().to_owned(),
            badges: badges(token, layout),
            more_permissions: more(permissions.len()),
            permissions: permissions.into_iter().take(MAX_SHOWN).collect(),
            more_blocks: more(blocks.len()),
            blocks: blocks.into_iter().take(MAX_SHOWN).collect(),
            created: layout.display_time(created.at),
            by: describe_actor(&created.by, texts),
            last_used: when(*last_used_at),
            rotated: when(*rotated_at),
            expires: when(expires_at.time()),
        }
    }
}

/// The list that a request asks for.
struct ListView<'q> {
    name: &'q str,
    show: StatusFilter,
    order: TokenOrder,
    /// The path of the list.
    path: String,
}

impl ListView<'_> {
    /// Returns the link to this list in another order, from a position on.
    fn link(&self, order: TokenOrder, after: &str) -> String {
        let order = if order == TokenOrder::default() {
            String::new()
        } else {
            order.to_string()
        };
        let pairs = [
            ("name", self.name),
            ("show", self.show.name()),
            ("sort", &order),
            ("after", after),
        ];
        format!("{}{}", self.path, build_query(&pairs))
    }

    /// Creates the header of a column that sorts the list: first in this direction, then
    /// alternately.
    fn sortable_column(&self, title: &'static str, by: SortKey, first_descending: bool) -> Column {
        let descending = (by == self.order.by).then_some(self.order.descending);
        let next = TokenOrder {
            by,
            descending: descending.map_or(first_descending, |descending| !descending),
        };
        Column {
            title,
            sorted: descending.map(|descending| if descending { "descending" } else { "ascending" }),
            link: Some(self.link(next, "")),
        }
    }

    fn columns(&self, texts: &Texts) -> Vec<Column> {
        vec![
            self.sortable_column(texts.name, SortKey::Name, false),
            Column::new(texts.permissions),
            Column::new(texts.ip_restrictions),
            self.sortable_column(texts.created, SortKey::Created, true),
            self.sortable_column(texts.last_used, SortKey::LastUsed, true),
            Column::new(texts.rotated),
            self.sortable_column(texts.expires, SortKey::Expires, false),
        ]
    }

    fn status_options(&self, texts: &Texts) -> Vec<SelectOption> {
        let option = |show: StatusFilter| SelectOption {
            value: show.name().to_owned(),
            title: show.title(texts),
            is_selected: show == self.show,
        };
        StatusFilter::ALL.map(option).into()
    }

    fn order_options(&self, texts: &Texts) -> Vec<SelectOption> {
        let option = |(order, title): (TokenOrder, &'static str)| SelectOption {
            value: order.to_string(),
            title,
            is_selected: order == self.order,
        };
        orders(texts).map(option).into()
    }
}

/// `GET /console/tokens`: a page of the tokens.
pub async fn list(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let query: TokenListQuery = read_query(request.query_string(), &[&["name", "show", "sort", "after", "done"]])?;
    // Unknown values in old or hand-written links are ignored.
    let show = StatusFilter::ALL.into_iter().find(|show| show.name() == query.show);
    let view = ListView {
        name: query.name.trim(),
        show: show.unwrap_or(StatusFilter::All),
        order: query.sort.parse::<TokenOrder>().unwrap_or_default(),
        path: format!("{}/tokens", layout.base),
    };
    let after = query.after.parse::<SortedCursor>().ok();
    let texts = layout.texts;
    // No name contains a control character, and PostgreSQL refuses NUL.
    let searched: String = view.name.chars().filter(|letter| !letter.is_control()).collect();
    let state = state(&request)?;
    let filter = view.show.filter(&searched, layout.now, state.config.legacy_uuid_auth);
    let is_unfiltered = filter.is_empty();
    let is_later_page = after.is_some();
    let page = state
        .service
        .list_sorted(&call, filter, view.order, after, PageSize::default())
        .await?;
    render_page(&TokenListPage {
        notice: match query.done.as_deref() {
            Some("changed") => Some(texts.done_changed),
            Some("disabled") => Some(texts.done_disabled),
            Some("enabled") => Some(texts.done_enabled),
            Some("deleted") => Some(texts.done_deleted),
            _ => None,
        },
        name: view.name.to_owned(),
        shows: view.status_options(texts),
        sorts: view.order_options(texts),
        columns: view.columns(texts),
        rows: page.tokens.iter().map(|token| TokenRow::new(token, &layout)).collect(),
        is_unfiltered: is_unfiltered && !is_later_page,
        first: is_later_page.then(|| view.link(view.order, "")),
        next: page.next.map(|next| view.link(view.order, &next.to_string())),
        layout,
    })
}
