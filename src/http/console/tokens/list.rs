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
            display_time::DisplayTime,
            layout::Layout,
            paths::build_query,
            render_page,
            session::ConsoleSession,
            text::{Texts, fill},
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
    Expired,
    Expiring,
    NeverUsed,
    Unused,
    RotationDue,
    Legacy,
}

impl StatusFilter {
    const ALL: [Self; 8] = [
        Self::All,
        Self::Active,
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
            Self::Expired => texts.show_expired,
            Self::Expiring => texts.show_expiring,
            Self::NeverUsed => texts.show_never_used,
            Self::Unused => texts.show_unused,
            Self::RotationDue => texts.show_rotation_due,
            Self::Legacy => texts.show_legacy,
        }
    }

    fn filter(self, name: &str, now: Timestamp) -> TokenFilter {
        let all = TokenFilter {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
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
            // Only the token's own page shows the last change; the badges show the others.
            updated: _,
            has_value: _,
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

/// `GET /console/tokens`: lists tokens.
pub async fn list(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let query: TokenListQuery = read_query(request.query_string(), &[&["name", "show", "sort", "after", "done"]])?;
    let name = query.name.trim();
    // Unknown parameters of old or hand-written links are ignored.
    let show = StatusFilter::ALL.into_iter().find(|show| show.name() == query.show);
    let show = show.unwrap_or(StatusFilter::All);
    let order = TokenOrder::parse(&query.sort).unwrap_or_default();
    let after = SortedCursor::parse(&query.after).ok();
    let texts = layout.texts;
    // No name contains a control character, and PostgreSQL refuses NUL.
    let searched: String = name.chars().filter(|letter| !letter.is_control()).collect();
    let filter = show.filter(&searched, layout.now);
    let is_unfiltered = filter.is_empty();
    let is_later_page = after.is_some();
    let service = &state(&request)?.service;
    let tokens = service
        .list_sorted(&call, filter, order, after, PageSize::default())
        .await?;
    let link = |order: TokenOrder, after: &str| {
        let order = if order == TokenOrder::default() {
            String::new()
        } else {
            order.to_string()
        };
        let pairs = [
            ("name", name),
            ("show", show.name()),
            ("sort", &order),
            ("after", after),
        ];
        format!("{}/tokens{}", layout.base, build_query(&pairs))
    };
    let column = |title, by: Option<SortKey>, first_descending: bool| {
        let now_descending = by.filter(|by| *by == order.by).map(|_| order.descending);
        Column {
            title,
            sorted: now_descending.map(|descending| if descending { "descending" } else { "ascending" }),
            link: by.map(|by| {
                let descending = now_descending.map_or(first_descending, |descending| !descending);
                link(TokenOrder { by, descending }, "")
            }),
        }
    };
    let template = TokenListPage {
        notice: match query.done.as_deref() {
            Some("changed") => Some(texts.done_changed),
            Some("deleted") => Some(texts.done_deleted),
            _ => None,
        },
        name: name.to_owned(),
        shows: StatusFilter::ALL
            .map(|one| SelectOption {
                value: one.name().to_owned(),
                title: one.title(texts),
                is_selected: one == show,
            })
            .into(),
        sorts: orders(texts)
            .map(|(one, title)| SelectOption {
                value: one.to_string(),
                title,
                is_selected: one == order,
            })
            .into(),
        columns: vec![
            column(texts.name, Some(SortKey::Name), false),
            column(texts.permissions, None, false),
            column(texts.ip_restrictions, None, false),
            column(texts.created, Some(SortKey::Created), true),
            column(texts.last_used, Some(SortKey::LastUsed), true),
            column(texts.rotated, None, false),
            column(texts.expires, Some(SortKey::Expires), false),
        ],
        rows: tokens
            .tokens
            .iter()
            .map(|token| TokenRow::new(token, &layout))
            .collect(),
        is_unfiltered: is_unfiltered && !is_later_page,
        first: is_later_page.then(|| link(order, "")),
        next: tokens.next.map(|next| link(order, &next.to_string())),
        layout,
    };
    render_page(&template)
}
