//! Tokens are made and changed.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;

use super::{Badge, ValuePage, badges, by, token_id};
use crate::{
    domain::{
        Invalid,
        cidr::CidrBlocks,
        clock::Timestamp,
        name::TokenName,
        permission::PermissionSet,
        session::SessionKey,
        token::{Token, TokenId, future_expiry},
    },
    http::{
        console::{
            fields::Fields,
            frame::Frame,
            page, page_with,
            permissions::{Choices, choices},
            see_other,
            session::{Posted, SignedIn},
            when::When,
        },
        error::Failure,
        extract::state,
    },
    service::{
        Error,
        tokens::{NewToken, PermissionChange, TokenChanges, TokenRef},
    },
};

#[derive(Template)]
#[template(path = "token_form.html")]
struct FormPage {
    frame: Frame,
    title: String,
    /// Where the form is sent.
    action: String,
    /// What identifies the form of a new token, or the token as it was seen.
    mark: String,
    filled: Filled,
    groups: Vec<Choices>,
    /// What is known of the token, if there is one.
    facts: Option<Facts>,
}

/// What stands in the form, and what is wrong with it.
#[derive(Default)]
struct Filled {
    name: String,
    permissions: PermissionSet,
    blocks: String,
    expires: String,
    wrong: Vec<Wrong>,
    /// What is wrong with the whole, not with a field.
    refusal: Option<&'static str>,
}

/// A field that cannot be taken as it is.
struct Wrong {
    field: &'static str,
    message: &'static str,
    /// What exactly, in English.
    detail: String,
}

impl Filled {
    fn wrong_in(&self, field: &str) -> Option<&Wrong> {
        self.wrong.iter().find(|wrong| wrong.field == field)
    }
}

struct Facts {
    id: String,
    badges: Vec<Badge>,
    created: When,
    by: String,
    updated: Option<(When, String)>,
    rotated: Option<When>,
    last_used: Option<When>,
}

impl Facts {
    fn new(token: &Token, frame: &Frame) -> Self {
        let by = |actor| by(actor, frame.texts);
        Self {
            id: token.id.to_string(),
            badges: badges(token, frame),
            created: frame.when(token.created.at),
            by: by(&token.created.by),
            updated: token
                .updated
                .as_ref()
                .map(|change| (frame.when(change.at), by(&change.by))),
            rotated: token.rotated_at.map(|time| frame.when(time)),
            last_used: token.last_used_at.map(|time| frame.when(time)),
        }
    }
}

/// What a form asks for, of which every field can be taken.
struct Wanted {
    name: TokenName,
    permissions: PermissionSet,
    blocks: CidrBlocks,
    expires_at: Option<Timestamp>,
}

/// Reads a form. An expiry that is the same to the second as `before` is that one.
fn read(fields: &Fields, frame: &Frame, before: Option<Timestamp>) -> Result<Wanted, Filled> {
    let texts = frame.texts;
    let mut wrong = Vec::new();
    let mut refuse = |field, message, invalid: Invalid| {
        wrong.push(Wrong {
            field,
            message,
            detail: invalid.to_string(),
        });
    };
    let name = TokenName::parse(fields.text("name"));
    let name = name.map_err(|invalid| refuse("name", texts.bad_name, invalid)).ok();
    let permissions = PermissionSet::parse(fields.all("permission"));
    let permissions = permissions
        .map_err(|invalid| refuse("permissions", texts.bad_permissions, invalid))
        .ok();
    let blocks = CidrBlocks::parse(
        fields
            .text("blocks")
            .split(|letter: char| letter.is_whitespace() || letter == ',')
            .filter(|one| !one.is_empty()),
    );
    let blocks = blocks
        .map_err(|invalid| refuse("blocks", texts.bad_blocks, invalid))
        .ok();
    let expires = fields.text("expires").trim();
    let expires_at = if before.is_some() && expires == to_field(before) {
        Ok(before)
    } else {
        from_field("expiresAt", expires).and_then(|time| future_expiry(time, frame.now))
    };
    let expires_at = expires_at
        .map_err(|invalid| refuse("expires", texts.bad_expiry, invalid))
        .ok();
    if let (Some(name), Some(permissions), Some(blocks), Some(expires_at)) = (name, permissions, blocks, expires_at) {
        return Ok(Wanted {
            name,
            permissions,
            blocks,
            expires_at,
        });
    }
    Err(Filled {
        name: fields.text("name").to_owned(),
        permissions: permissions.unwrap_or_default(),
        blocks: fields.text("blocks").to_owned(),
        expires: expires.to_owned(),
        wrong,
        refusal: None,
    })
}

/// A time as `<input type="datetime-local">` has it, to the second, in UTC.
fn to_field(time: Option<Timestamp>) -> String {
    let text = time.map(|time| time.to_string()).unwrap_or_default();
    text.chars().take("2030-01-31T12:00:00".len()).collect()
}

/// The time of such a field, with or without seconds; none if it is empty.
///
/// # Errors
/// When it is none; the message names `field`.
pub fn from_field(field: &'static str, text: &str) -> Result<Option<Timestamp>, Invalid> {
    let seconds = if text.len() == "2030-01-31T12:00".len() {
        ":00"
    } else {
        ""
    };
    let time = || Timestamp::parse(field, &format!("{text}{seconds}Z"));
    (!text.is_empty()).then(time).transpose()
}

/// A form for a new token. Each has a mark of its own, from which the id of the token is made.
fn new_form(frame: Frame, mark: String, filled: Filled) -> FormPage {
    FormPage {
        title: frame.texts.new_token.to_owned(),
        action: format!("{}/tokens", frame.base),
        groups: choices(filled.permissions, frame.texts),
        mark,
        filled,
        facts: None,
        frame,
    }
}

fn new_mark(request: &HttpRequest) -> Result<String, Failure> {
    Ok(state(request)?.service.new_session_key()?.expose().to_owned())
}

/// `GET /console/tokens/new`: the form.
pub async fn new(request: HttpRequest, SignedIn { frame, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    page(&new_form(frame, new_mark(&request)?, Filled::default()))
}

/// `POST /console/tokens`: makes a token, and shows its value. The same form makes no second one.
pub async fn create(request: HttpRequest, Posted { who, fields }: Posted) -> Result<HttpResponse, Failure> {
    let SignedIn { call, key, frame } = who;
    let mark = fields.text("mark").to_owned();
    let wanted = match read(&fields, &frame, None) {
        Ok(wanted) => wanted,
        Err(filled) => return page_with(StatusCode::BAD_REQUEST, &new_form(frame, mark, filled)),
    };
    let id = id_of(&key, &mark)?;
    let new = NewToken {
        id: Some(id),
        name: wanted.name,
        permissions: Some(wanted.permissions),
        allowed_cidr_blocks: Some(wanted.blocks),
        expires_at: Some(wanted.expires_at),
    };
    let texts = frame.texts;
    match state(&request)?.service.create(call, new).await {
        Ok((token, value)) => page(&ValuePage::new(frame, &request, texts.made_title, &token, &value)),
        Err(Error::Conflict(_)) => Ok(see_other(&format!("{}/tokens/{id}?seen=made", frame.base))),
        Err(other) => Err(other.into()),
    }
}

/// The id of the token that a form makes.
fn id_of(key: &SessionKey, mark: &str) -> Result<TokenId, Failure> {
    SessionKey::parse(mark).ok_or_else(Fields::refusal)?;
    Ok(key.token_id(mark))
}

fn edit_form(frame: Frame, token: &Token, filled: Filled) -> FormPage {
    FormPage {
        title: frame.fill(frame.texts.edit_token, token.name.as_str()),
        action: format!("{}/tokens/{}", frame.base, token.id),
        mark: seen(token.updated.as_ref().map(|change| change.at)),
        groups: choices(filled.permissions, frame.texts),
        facts: Some(Facts::new(token, &frame)),
        filled,
        frame,
    }
}

fn as_it_is(token: &Token) -> Filled {
    let blocks: Vec<_> = token.allowed_cidr_blocks.iter().map(ToString::to_string).collect();
    Filled {
        name: token.name.as_str().to_owned(),
        permissions: token.permissions,
        blocks: blocks.join("\n"),
        expires: to_field(token.expires_at),
        ..Filled::default()
    }
}

/// How a form keeps when something was last changed.
pub fn seen(time: Option<Timestamp>) -> String {
    time.map(|time| time.to_string()).unwrap_or_default()
}

/// What such a form has kept.
///
/// # Errors
/// 403 when no form of ours has.
pub fn read_seen(text: &str) -> Result<Option<Timestamp>, Failure> {
    let time = || Timestamp::parse("mark", text).map_err(|_| Fields::refusal());
    (!text.is_empty()).then(time).transpose()
}

/// `GET /console/tokens/{id}`: what is known of a token, in a form.
pub async fn edit(request: HttpRequest, SignedIn { call, frame, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    let id = token_id(&request)?;
    let token = state(&request)?.service.get(&call, TokenRef::Id(id)).await?;
    let refusal = match request.query_string() {
        "seen=made" => Some(frame.texts.made_already),
        "seen=rotated" => Some(frame.texts.rotated_already),
        _ => None,
    };
    let filled = Filled {
        refusal,
        ..as_it_is(&token)
    };
    page(&edit_form(frame, &token, filled))
}

/// `POST /console/tokens/{id}`: changes a token, unless somebody else has since the form was shown.
pub async fn update(request: HttpRequest, Posted { who, fields }: Posted) -> Result<HttpResponse, Failure> {
    let SignedIn { call, frame, .. } = who;
    let (service, id) = (&state(&request)?.service, token_id(&request)?);
    let seen = read_seen(fields.text("mark"))?;
    let token = service.get(&call, TokenRef::Id(id)).await?;
    let wanted = match read(&fields, &frame, token.expires_at) {
        Ok(wanted) => wanted,
        Err(filled) => {
            let form = FormPage {
                // Still as it was first seen: what others have saved since is not overwritten once this is corrected.
                mark: fields.text("mark").to_owned(),
                ..edit_form(frame, &token, filled)
            };
            return page_with(StatusCode::BAD_REQUEST, &form);
        }
    };
    let changes = TokenChanges {
        name: Some(wanted.name),
        permissions: Some(PermissionChange::Replace(wanted.permissions)),
        allowed_cidr_blocks: Some(wanted.blocks),
        // What has expired stays so, if that is not what was changed.
        expires_at: (wanted.expires_at != token.expires_at).then_some(wanted.expires_at),
        seen: Some(seen),
    };
    match service.update(call, TokenRef::Id(id), changes).await {
        Ok(_) => Ok(see_other(&format!("{}/tokens?done=changed", frame.base))),
        Err(Error::Outdated) => {
            let filled = Filled {
                refusal: Some(frame.texts.changed_meanwhile),
                ..as_it_is(&token)
            };
            page_with(StatusCode::CONFLICT, &edit_form(frame, &token, filled))
        }
        Err(other) => Err(other.into()),
    }
}
