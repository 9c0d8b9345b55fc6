//! Rotates tokens.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;

use super::{ValuePage, facts::TokenFacts, form::parse_version, token_id};
use crate::{
    domain::{
        authorization::Operation,
        precondition::{Precondition, TokenTag},
        token::{Token, TokenVersion},
        usage::TokenUsage,
    },
    http::{
        console::{
            display_time::exact,
            fields::FormFields,
            layout::Layout,
            paths::Back,
            render_page, render_page_with_status, see_other,
            session::{ConsoleSession, SubmittedForm, require},
            text::fill,
            texts::Texts,
        },
        error::ApiError,
        extract::state,
    },
    service::{
        Error,
        tokens::{MAX_GRACE_VALUES, Rotation, TokenRef},
    },
};

const DAY: Duration = Duration::from_hours(24);

/// Returns the grace periods with their labels.
fn grace_periods(texts: &Texts) -> [(Duration, &'static str); 4] {
    [
        (Duration::ZERO, texts.grace_none),
        (Duration::from_hours(1), texts.grace_hour),
        (DAY, texts.grace_day),
        (Duration::from_hours(7 * 24), texts.grace_week),
    ]
}

#[derive(Template)]
#[template(path = "rotate.html")]
struct RotatePage {
    layout: Layout,
    facts: TokenFacts,
    has_value: bool,
    /// The version of the token on this page.
    version: TokenVersion,
    grace_periods: Vec<GracePeriod>,
    /// The page to return to.
    back: Back,
    /// The link to it.
    cancel: String,
    /// The reason why the rotation was refused.
    refusal: Option<String>,
}

/// A grace period to choose.
struct GracePeriod {
    seconds: u64,
    title: &'static str,
    is_suggested: bool,
}

impl RotatePage {
    fn new(layout: Layout, token: &Token, usage: &TokenUsage, back: Back, refusal: Option<String>) -> Self {
        let periods = grace_periods(layout.texts);
        let facts = TokenFacts::new(token, usage, &layout);
        // The users of a token need time to change over.
        let suggested = if facts.is_in_use { DAY } else { Duration::ZERO };
        let period = |(period, title): (Duration, _)| GracePeriod {
            seconds: period.as_secs(),
            title,
            is_suggested: period == suggested,
        };
        Self {
            facts,
            has_value: token.has_value,
            version: token.version,
            grace_periods: periods.map(period).into(),
            cancel: back.link(&layout.base),
            back,
            refusal,
            layout,
        }
    }
}

/// `GET /console/tokens/{id}/rotate`: asks for confirmation and the grace period.
pub async fn show_form(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    require(&call, Operation::Rotate { expires_at: None })?;
    let (service, which) = (&state(&request)?.service, TokenRef::Id(token_id(&request)?));
    let token = service.get(&call, which).await?;
    let usage = service.usage(&call, which).await?;
    render_page(&RotatePage::new(layout, &token, &usage, Back::of(&request), None))
}

/// `POST /console/tokens/{id}/rotate`: rotates a token and shows the new value. Submitting the form
/// again does not rotate it again.
pub async fn rotate(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let (service, id) = (&state(&request)?.service, token_id(&request)?);
    let texts = layout.texts;
    let back = Back::parse(fields.text(Back::PARAMETER));
    let seconds = fields.text("grace");
    let offered = grace_periods(texts).into_iter().map(|(period, _)| period);
    let mut chosen = offered.filter(|period| seconds.is_empty() || period.as_secs().to_string() == seconds);
    let grace_period = chosen.next().ok_or_else(FormFields::refusal)?;
    let rotation = Rotation {
        grace_period,
        expires_at: None,
        precondition: Precondition::OneOf(vec![TokenTag {
            id,
            version: parse_version(fields.text("version"))?,
        }]),
    };
    let token_before = service.get(&call, TokenRef::Id(id)).await?;
    match service.rotate(call.clone(), TokenRef::Id(id), rotation, None).await {
        Ok((token, value)) => {
            let works_until = token.rotated_at.unwrap_or(layout.now).saturating_add(grace_period);
            let before = if !token_before.has_value {
                texts.first_value.to_owned()
            } else if grace_period.is_zero() {
                texts.old_value_ended.to_owned()
            } else {
                fill(texts.old_value_works, [&exact(works_until)])
            };
            render_page(&ValuePage {
                before: Some(before),
                ..ValuePage::new(layout, &request, texts.rotated_title, &token, &value, &back)
            })
        }
        Err(Error::PreconditionFailed) => Ok(see_other(&format!("{}/tokens/{id}?seen=rotated", layout.base))),
        // Without an idempotency key, nothing else conflicts.
        Err(Error::Conflict(_)) => {
            let refusal = fill(texts.rotate_limit, [&MAX_GRACE_VALUES]);
            let usage = service.usage(&call, TokenRef::Id(id)).await?;
            let page = RotatePage::new(layout, &token_before, &usage, back, Some(refusal));
            render_page_with_status(StatusCode::CONFLICT, &page)
        }
        Err(other) => Err(other.into()),
    }
}
