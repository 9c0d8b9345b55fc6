//! The page of a token.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::{Badge, badges, describe_actor, gone, history, token_id};
use crate::{
    domain::{
        annotation::{Description, Owner},
        clock::Timestamp,
        token::Token,
        usage::{REPORTED_DAYS, RefusedUses, TokenUsage, UseOutcome},
    },
    http::{
        console::{
            audit::{labels::channel_title, row::EventRow},
            chart::{Chart, ChartTexts},
            display_time::DisplayTime,
            layout::Layout,
            paths::Back,
            permissions::{PermissionGroup, permission_groups},
            render_page,
            session::ConsoleSession,
            text::{fill, number},
            texts::audit,
            token_label::short_id,
        },
        error::ApiError,
        extract::{query, state},
    },
    service::{
        Error,
        tokens::{GraceValue, TokenRef},
    },
};

#[derive(Template)]
#[template(path = "token.html")]
struct TokenPage {
    layout: Layout,
    notice: Option<&'static str>,
    warning: Option<&'static str>,
    id: String,
    short_id: String,
    /// The path of the page.
    path: String,
    /// The path below the console, to which actions return.
    back: Back,
    edit: String,
    rotate: String,
    delete: String,
    /// The link to the list as it was.
    list: String,
    badges: Vec<Badge>,
    details: TokenDetails,
    networks: Vec<String>,
    groups: Vec<PermissionGroup>,
    last_use: Option<LastUse>,
    chart: Chart,
    refused: Vec<RefusedRow>,
    grace_values: Vec<GraceRow>,
    history: Vec<EventRow>,
}

/// The fields of the token that the page shows as they are.
struct TokenDetails {
    name: String,
    description: Option<String>,
    owner: Option<String>,
    creator: String,
    created: DisplayTime,
    updated: Option<(DisplayTime, String)>,
    rotated: Option<DisplayTime>,
    expires: Option<DisplayTime>,
    is_disabled: bool,
}

impl TokenDetails {
    fn new(token: &Token, layout: &Layout) -> Self {
        let Token {
            name,
            description,
            owner,
            created,
            updated,
            rotated_at,
            expires_at,
            disabled_at,
            // Other parts of the page show these, or the badges.
            id: _,
            permissions: _,
            allowed_cidr_blocks: _,
            last_used_at: _,
            has_value: _,
            version: _,
        } = token;
        let by = |actor| describe_actor(actor, layout.texts);
        let when = |time: Timestamp| layout.display_time(time);
        Self {
            name: name.as_str().to_owned(),
            description: description.as_ref().map(Description::as_str).map(ToOwned::to_owned),
            owner: owner.as_ref().map(Owner::as_str).map(ToOwned::to_owned),
            creator: by(&created.by),
            created: when(created.at),
            updated: updated.as_ref().map(|change| (when(change.at), by(&change.by))),
            rotated: rotated_at.map(when),
            expires: expires_at.time().map(when),
            is_disabled: disabled_at.is_some(),
        }
    }
}

struct LastUse {
    at: DisplayTime,
    /// The address and the channel, if they are known.
    origin: Option<String>,
}

impl LastUse {
    fn new(usage: &TokenUsage, layout: &Layout) -> Option<Self> {
        let texts = layout.token_texts();
        let channels = layout.language.choose(&audit::ENGLISH, &audit::KOREAN);
        let from = usage.last_used_from;
        let from = from.map(|address| fill(texts.last_used_from, [&address]));
        let via = usage.last_used_via;
        let via = via.map(|channel| fill(texts.last_used_via, [&channel_title(channel, channels)]));
        usage.last_used_at.map(|at| Self {
            at: layout.display_time(at),
            origin: from
                .into_iter()
                .chain(via)
                .reduce(|from, via| format!("{from} · {via}")),
        })
    }
}

struct RefusedRow {
    reason: &'static str,
    count: String,
    last: DisplayTime,
    from: Option<String>,
}

impl RefusedRow {
    fn new(outcome: UseOutcome, uses: &RefusedUses, layout: &Layout) -> Option<Self> {
        let texts = layout.token_texts();
        let reason = match outcome {
            UseOutcome::Accepted => return None,
            UseOutcome::Disabled => texts.reason_disabled,
            UseOutcome::Expired => texts.reason_expired,
            UseOutcome::Address => texts.reason_address,
        };
        Some(Self {
            reason,
            count: number(uses.count),
            last: layout.display_time(uses.last.at),
            from: uses.last.origin.client.map(|address| address.to_string()),
        })
    }
}

struct GraceRow {
    fingerprint: String,
    ends: DisplayTime,
}

impl GraceRow {
    fn new(value: GraceValue, layout: &Layout) -> Self {
        let GraceValue {
            fingerprint,
            valid_until,
        } = value;
        Self {
            fingerprint,
            ends: layout.display_time(valid_until),
        }
    }
}

/// `GET /console/tokens/{id}`: shows a token, or the record of a deleted one.
pub async fn show(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let (service, id) = (&state(&request)?.service, token_id(&request)?);
    let which = TokenRef::Id(id);
    let events = history::read(service, &call, id).await?;
    let token = match service.get(&call, which).await {
        Ok(token) => token,
        Err(Error::NotFound(_)) => {
            let history = history::rows(service, &call, &events, &layout).await?;
            return gone::show(layout, id, &events, history);
        }
        Err(other) => return Err(other.into()),
    };
    let usage = service.usage(&call, which).await?;
    let history = history::rows(service, &call, &events, &layout).await?;
    let grace_values = service.grace_values(&call, which).await?;
    let texts = layout.token_texts();
    let chart_texts = ChartTexts {
        unit: texts.uses,
        summary: texts.uses_summary,
        none: texts.uses_none,
    };
    let refused = usage.refused.iter();
    let mut groups = permission_groups(token.permissions, layout.texts);
    for group in &mut groups {
        group.permissions.retain(|permission| permission.is_checked);
    }
    groups.retain(|group| !group.permissions.is_empty());
    let (notice, warning) = notices(request.query_string(), &layout);
    let (list, here) = (Back::of(&request), Back::parse(&format!("/tokens/{id}")));
    let path = here.link(&layout.base);
    render_page(&TokenPage {
        notice,
        warning,
        id: id.to_string(),
        short_id: short_id(id),
        edit: here.link_from(&format!("{path}/edit")),
        rotate: here.link_from(&format!("{path}/rotate")),
        delete: list.link_from(&format!("{path}/delete")),
        list: list.link(&layout.base),
        back: here,
        path,
        badges: badges(&token, &layout),
        details: TokenDetails::new(&token, &layout),
        networks: token.allowed_cidr_blocks.iter().map(ToString::to_string).collect(),
        groups,
        last_use: LastUse::new(&usage, &layout),
        chart: Chart::new(&usage.days, layout.now.day(), REPORTED_DAYS, chart_texts),
        refused: refused
            .filter_map(|(outcome, uses)| RefusedRow::new(*outcome, uses, &layout))
            .collect(),
        grace_values: grace_values
            .into_iter()
            .map(|value| GraceRow::new(value, &layout))
            .collect(),
        history,
        layout,
    })
}

/// Returns the sentence about what was done, and the one about what was not.
fn notices(query: &str, layout: &Layout) -> (Option<&'static str>, Option<&'static str>) {
    let texts = layout.texts;
    let pairs: Vec<(String, String)> = query::parse(query).unwrap_or_default();
    let notice = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mut notices = notice.filter(|(name, _)| ["done", "seen"].contains(name));
    match notices.next() {
        Some(("done", "changed")) => (Some(texts.done_changed), None),
        Some(("done", "disabled")) => (Some(texts.done_disabled), None),
        Some(("done", "enabled")) => (Some(texts.done_enabled), None),
        Some(("done", "grace-ended")) => (Some(layout.token_texts().done_grace_ended), None),
        Some(("seen", "made")) => (None, Some(texts.already_created)),
        Some(("seen", "rotated")) => (None, Some(texts.already_rotated)),
        _ => (None, None),
    }
}
