//! The form to create and edit tokens.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;

use super::{Badge, ValuePage, badges, describe_actor, token_id};
use crate::{
    domain::{
        Invalid,
        annotation::{Description, Owner},
        authorization::{Grant, Operation},
        cidr::CidrBlocks,
        expiry::Expiry,
        name::TokenName,
        patch::Patch,
        permission::PermissionSet,
        precondition::{Precondition, TokenTag},
        session::SessionKey,
        token::{Token, TokenId, TokenVersion},
    },
    http::{
        console::{
            display_time::{DisplayTime, format_datetime_local, parse_datetime_local},
            fields::FormFields,
            layout::Layout,
            permissions::{PermissionGroup, permission_groups},
            render_page, render_page_with_status, see_other,
            session::{ConsoleSession, SubmittedForm, require},
        },
        error::ApiError,
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
    layout: Layout,
    title: String,
    /// The target of the form.
    action: String,
    /// Name and value of a hidden field: the mark of a form for a new token, or the version of the
    /// token that the form edits.
    identity: (&'static str, String),
    values: FormValues,
    groups: Vec<PermissionGroup>,
    /// Details of the token, if it exists.
    details: Option<TokenDetails>,
}

/// The values of the form, and their errors.
#[derive(Default)]
struct FormValues {
    name: String,
    permissions: PermissionSet,
    blocks: String,
    expires: String,
    description: String,
    owner: String,
    errors: Vec<FieldError>,
    /// The error of the form as a whole.
    refusal: Option<&'static str>,
}

/// The error of a field.
struct FieldError {
    field: &'static str,
    message: &'static str,
    /// The details, in English.
    detail: String,
}

impl FormValues {
    fn error_in(&self, field: &str) -> Option<&FieldError> {
        self.errors.iter().find(|error| error.field == field)
    }
}

struct TokenDetails {
    id: String,
    is_disabled: bool,
    badges: Vec<Badge>,
    created: DisplayTime,
    by: String,
    updated: Option<(DisplayTime, String)>,
    rotated: Option<DisplayTime>,
    last_used: Option<DisplayTime>,
}

impl TokenDetails {
    fn new(token: &Token, layout: &Layout) -> Self {
        let Token {
            id,
            created,
            updated,
            rotated_at,
            last_used_at,
            disabled_at,
            // The title shows the name, the form the next five, and the badges the others.
            name: _,
            permissions: _,
            allowed_cidr_blocks: _,
            expires_at: _,
            description: _,
            owner: _,
            has_value: _,
            version: _,
        } = token;
        let by = |actor| describe_actor(actor, layout.texts);
        Self {
            id: id.to_string(),
            is_disabled: disabled_at.is_some(),
            badges: badges(token, layout),
            created: layout.display_time(created.at),
            by: by(&created.by),
            updated: updated
                .as_ref()
                .map(|change| (layout.display_time(change.at), by(&change.by))),
            rotated: rotated_at.map(|time| layout.display_time(time)),
            last_used: last_used_at.map(|time| layout.display_time(time)),
        }
    }
}

/// The validated values of a form.
struct TokenInput {
    name: TokenName,
    permissions: PermissionSet,
    blocks: CidrBlocks,
    expires_at: Expiry,
    description: Patch<Description>,
    owner: Patch<Owner>,
}

/// Parses a form. An expiry that equals `before` to the second counts as unchanged, because the
/// field has no finer resolution.
fn read_form(fields: &FormFields, layout: &Layout, before: Expiry) -> Result<TokenInput, Box<FormValues>> {
    let texts = layout.texts;
    let mut errors = Vec::new();
    let mut refuse = |field, message, invalid: Invalid| {
        errors.push(FieldError {
            field,
            message,
            detail: invalid.to_string(),
        });
    };
    let name = fields.text("name").parse::<TokenName>();
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
    let expires_at = if before != Expiry::Never && expires == format_datetime_local(before.time()) {
        Ok(before)
    } else {
        parse_datetime_local("expiresAt", expires).and_then(|time| Expiry::from(time).require_future(layout.now))
    };
    let expires_at = expires_at
        .map_err(|invalid| refuse("expires", texts.bad_expiry, invalid))
        .ok();
    // Browsers send line ends as CRLF.
    let description = fields.text("description").replace("\r\n", "\n");
    let new_description = description.parse::<Patch<Description>>();
    let new_description = new_description
        .map_err(|invalid| refuse("description", texts.bad_description, invalid))
        .ok();
    let owner = fields.text("owner").parse::<Patch<Owner>>();
    let owner = owner.map_err(|invalid| refuse("owner", texts.bad_owner, invalid)).ok();
    if let (Some(name), Some(permissions), Some(blocks), Some(expires_at), Some(description), Some(owner)) =
        (name, permissions, blocks, expires_at, new_description, owner)
    {
        return Ok(TokenInput {
            name,
            permissions,
            blocks,
            expires_at,
            description,
            owner,
        });
    }
    Err(Box::new(FormValues {
        name: fields.text("name").to_owned(),
        permissions: permissions.unwrap_or_default(),
        blocks: fields.text("blocks").to_owned(),
        expires: expires.to_owned(),
        description,
        owner: fields.text("owner").to_owned(),
        errors,
        refusal: None,
    }))
}

/// Creates the form for a new token. Each form has its own random mark, from which the ID of the
/// token is derived.
fn new_form(layout: Layout, mark: String, values: FormValues) -> FormPage {
    FormPage {
        title: layout.texts.new_token.to_owned(),
        action: format!("{}/tokens", layout.base),
        groups: permission_groups(values.permissions, layout.texts),
        identity: ("mark", mark),
        values,
        details: None,
        layout,
    }
}

fn new_mark(request: &HttpRequest) -> Result<String, ApiError> {
    Ok(state(request)?.service.new_session_key()?.expose().to_owned())
}

/// `GET /console/tokens/new`: shows the form.
pub async fn new(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    require(&call, Operation::Create(Grant::default()))?;
    render_page(&new_form(layout, new_mark(&request)?, FormValues::default()))
}

/// `POST /console/tokens`: creates a token and shows its value. Submitting the form again creates
/// no second token.
pub async fn create(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, key, layout } = session;
    let mark = fields.text("mark").to_owned();
    let input = match read_form(&fields, &layout, Expiry::Never) {
        Ok(input) => input,
        Err(values) => return render_page_with_status(StatusCode::BAD_REQUEST, &new_form(layout, mark, *values)),
    };
    let id = derive_token_id(&key, &mark)?;
    let new = NewToken {
        id: Some(id),
        name: input.name,
        permissions: Some(input.permissions),
        allowed_cidr_blocks: Some(input.blocks),
        expires_at: Some(input.expires_at),
        description: input.description.apply(None),
        owner: input.owner.apply(None),
        disabled: false,
    };
    let texts = layout.texts;
    match state(&request)?.service.create(call, new, None).await {
        Ok((token, value)) => render_page(&ValuePage::new(layout, &request, texts.created_title, &token, &value)),
        Err(Error::Conflict(_)) => Ok(see_other(&format!("{}/tokens/{id}?seen=made", layout.base))),
        Err(other) => Err(other.into()),
    }
}

/// Derives the ID of the token that a form creates.
fn derive_token_id(key: &SessionKey, mark: &str) -> Result<TokenId, ApiError> {
    mark.parse::<SessionKey>().map_err(|_| FormFields::refusal())?;
    Ok(key.token_id(mark))
}

fn edit_form(layout: Layout, token: &Token, values: FormValues) -> FormPage {
    FormPage {
        title: if layout.rights.change_tokens {
            layout.fill(layout.texts.edit_token, token.name.as_str())
        } else {
            token.name.as_str().to_owned()
        },
        action: format!("{}/tokens/{}", layout.base, token.id),
        identity: ("version", token.version.to_string()),
        groups: permission_groups(values.permissions, layout.texts),
        details: Some(TokenDetails::new(token, &layout)),
        values,
        layout,
    }
}

fn current_values(token: &Token) -> FormValues {
    let Token {
        name,
        permissions,
        allowed_cidr_blocks,
        expires_at,
        description,
        owner,
        // The hidden field and the details show these; the form does not change them.
        version: _,
        id: _,
        created: _,
        updated: _,
        rotated_at: _,
        last_used_at: _,
        has_value: _,
        disabled_at: _,
    } = token;
    let blocks: Vec<_> = allowed_cidr_blocks.iter().map(ToString::to_string).collect();
    FormValues {
        name: name.as_str().to_owned(),
        permissions: *permissions,
        blocks: blocks.join("\n"),
        expires: format_datetime_local(expires_at.time()),
        description: description
            .as_ref()
            .map(Description::as_str)
            .unwrap_or_default()
            .to_owned(),
        owner: owner.as_ref().map(Owner::as_str).unwrap_or_default().to_owned(),
        ..FormValues::default()
    }
}

/// Parses the hidden version of a form.
///
/// # Errors
/// 403 for a form that the console did not render.
pub fn parse_version(text: &str) -> Result<TokenVersion, ApiError> {
    let version = text.parse().ok().and_then(TokenVersion::from_number);
    version.ok_or_else(FormFields::refusal)
}

/// `GET /console/tokens/{id}`: shows a token in a form.
pub async fn edit(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let id = token_id(&request)?;
    let token = state(&request)?.service.get(&call, TokenRef::Id(id)).await?;
    let refusal = match request.query_string() {
        "seen=made" => Some(layout.texts.already_created),
        "seen=rotated" => Some(layout.texts.already_rotated),
        _ => None,
    };
    let values = FormValues {
        refusal,
        ..current_values(&token)
    };
    render_page(&edit_form(layout, &token, values))
}

/// `POST /console/tokens/{id}`: changes a token, unless it has changed since the form was rendered.
pub async fn update(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    let (service, id) = (&state(&request)?.service, token_id(&request)?);
    let version = parse_version(fields.text("version"))?;
    let token = service.get(&call, TokenRef::Id(id)).await?;
    let input = match read_form(&fields, &layout, token.expires_at) {
        Ok(input) => input,
        Err(values) => {
            let form = FormPage {
                // Still the version that the admin saw, so that the corrected form does not
                // overwrite what others saved since.
                identity: ("version", version.to_string()),
                ..edit_form(layout, &token, *values)
            };
            return render_page_with_status(StatusCode::BAD_REQUEST, &form);
        }
    };
    let changes = TokenChanges {
        name: Some(input.name),
        permissions: Some(PermissionChange::Replace(input.permissions)),
        allowed_cidr_blocks: Some(input.blocks),
        expires_at: Some(input.expires_at),
        description: input.description,
        owner: input.owner,
        disabled: None,
        precondition: Precondition::OneOf(vec![TokenTag { id, version }]),
    };
    match service.update(call, TokenRef::Id(id), changes).await {
        Ok(_) => Ok(see_other(&format!("{}/tokens?done=changed", layout.base))),
        Err(Error::PreconditionFailed) => {
            let values = FormValues {
                refusal: Some(layout.texts.edit_conflict),
                ..current_values(&token)
            };
            render_page_with_status(StatusCode::CONFLICT, &edit_form(layout, &token, values))
        }
        Err(other) => Err(other.into()),
    }
}
