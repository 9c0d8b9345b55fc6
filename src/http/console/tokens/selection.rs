//! Changes of selected tokens: a page that asks for confirmation, and the change.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use askama::Template;

use super::filters::ListQuery;
use crate::{
    domain::{
        Invalid,
        authorization::Operation,
        clock::Timestamp,
        expiry::Expiry,
        selection::{Selection, SelectionDigest, SelectionPreview},
        token::TokenId,
    },
    http::{
        console::{
            display_time::parse_datetime_local,
            fields::FormFields,
            layout::Layout,
            paths::Back,
            render_page_with_status, see_other,
            session::{ConsoleSession, SubmittedForm, require},
            text::{count, fill, number},
            texts::Texts,
            token_label::short_id,
        },
        error::ApiError,
        extract::state,
    },
    service::{Error, bulk::BulkChange},
};

/// The days after which the tokens can expire.
const EXPIRY_DAYS: [u64; 4] = [7, 30, 90, 365];
/// The choice of a time that was entered.
const AT_A_TIME: &str = "at";
const NEVER: &str = "never";

/// An action on selected tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BulkAction {
    Disable,
    Enable,
    SetExpiry,
    Delete,
}

impl BulkAction {
    const ALL: [Self; 4] = [Self::Disable, Self::Enable, Self::SetExpiry, Self::Delete];

    /// Returns the name in the form.
    const fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::SetExpiry => "set-expiry",
            Self::Delete => "delete",
        }
    }

    /// Returns the name of the notice after the action.
    const fn notice(self) -> &'static str {
        match self {
            Self::Disable => "disabled",
            Self::Enable => "enabled",
            Self::SetExpiry => "changed",
            Self::Delete => "deleted",
        }
    }

    /// Returns the title of the page, with a number, and its explanation.
    const fn texts(self, texts: &Texts) -> (&'static str, &'static str) {
        match self {
            Self::Disable => (texts.bulk_disable, texts.bulk_disable_lead),
            Self::Enable => (texts.bulk_enable, texts.bulk_enable_lead),
            Self::SetExpiry => (texts.bulk_expiry, texts.bulk_expiry_lead),
            Self::Delete => (texts.bulk_delete, texts.bulk_delete_lead),
        }
    }

    /// Returns the label of the button.
    const fn label(self, texts: &Texts) -> &'static str {
        match self {
            Self::Disable => texts.disable,
            Self::Enable => texts.enable,
            Self::SetExpiry => texts.set_expiry,
            Self::Delete => texts.delete,
        }
    }
}

/// The selection that a form submits: the list with all its tokens, or the IDs of some.
struct SelectionForm {
    action: BulkAction,
    back: Back,
    list: ListQuery,
    /// `true` for all tokens of the list.
    selects_all: bool,
    ids: Vec<TokenId>,
}

impl SelectionForm {
    fn read(fields: &FormFields) -> Result<Self, ApiError> {
        let action = fields.text("action");
        let action = BulkAction::ALL.into_iter().find(|known| known.name() == action);
        let back = Back::parse(fields.text(Back::PARAMETER));
        Ok(Self {
            action: action
                .ok_or_else(|| Invalid::new("action", "is unknown; go back to the list"))
                .map_err(Error::from)?,
            list: ListQuery::parse(back.query()),
            back,
            selects_all: !fields.text("all").is_empty(),
            ids: fields.all("id").filter_map(|id| id.parse().ok()).collect(),
        })
    }

    fn selection(&self, now: Timestamp, legacy_uuid_auth: bool) -> Result<Selection, Error> {
        Ok(if self.selects_all {
            Selection::Matching(self.list.filter(now, legacy_uuid_auth)?)
        } else {
            Selection::Tokens(self.ids.clone())
        })
    }
}

/// A choice of the expiry.
struct ExpiryOption {
    value: String,
    title: String,
    is_selected: bool,
}

#[derive(Template)]
#[template(path = "selection.html")]
struct ConfirmationPage {
    layout: Layout,
    title: String,
    lead: &'static str,
    refusal: Option<&'static str>,
    action: &'static str,
    back: Back,
    selects_all: bool,
    ids: Vec<TokenId>,
    count: u64,
    digest: SelectionDigest,
    /// The names and the short IDs of the first tokens.
    first: Vec<(String, String)>,
    more: Option<String>,
    /// The instruction to type the number; `None` if the action can be undone.
    type_number: Option<String>,
    /// The choices of the expiry; empty for the other actions.
    expiries: Vec<ExpiryOption>,
    expires: String,
    label: &'static str,
    is_dangerous: bool,
}

/// `POST /console/tokens/selection`: asks for confirmation.
pub async fn confirm(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    ask(&request, session, &fields, None).await
}

async fn ask(
    request: &HttpRequest,
    session: ConsoleSession,
    fields: &FormFields,
    refusal: Option<&'static str>,
) -> Result<HttpResponse, ApiError> {
    let ConsoleSession { call, layout, .. } = session;
    require(&call, Operation::ChangeMatching)?;
    let form = SelectionForm::read(fields)?;
    let state = state(request)?;
    let selection = form.selection(layout.now, state.config.legacy_uuid_auth)?;
    let preview = state.service.preview(&call, selection, form.list.order()).await?;
    if preview.count == 0 {
        return Ok(see_other(&form.back.with_notice(&layout.base, "none-selected")));
    }
    let status = if refusal.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    render_page_with_status(status, &ConfirmationPage::new(layout, form, &preview, fields, refusal))
}

impl ConfirmationPage {
    fn new(
        layout: Layout,
        form: SelectionForm,
        preview: &SelectionPreview,
        fields: &FormFields,
        refusal: Option<&'static str>,
    ) -> Self {
        let texts = layout.texts;
        let SelectionPreview {
            count: total,
            digest,
            first,
        } = preview;
        let (title, lead) = form.action.texts(texts);
        let more = total.saturating_sub(first.len() as u64);
        let expiry = |value: String, title: String| ExpiryOption {
            is_selected: value == fields.text("expiry"),
            value,
            title,
        };
        let days = EXPIRY_DAYS.map(|days| expiry(days.to_string(), count(texts.expiry_in_days, days)));
        let others = [(AT_A_TIME, texts.expiry_at), (NEVER, texts.never)];
        let others = others.map(|(value, title)| expiry(value.to_owned(), title.to_owned()));
        let sets_expiry = form.action == BulkAction::SetExpiry;
        let is_dangerous = form.action == BulkAction::Delete;
        Self {
            title: count(title, *total),
            lead,
            refusal,
            action: form.action.name(),
            back: form.back,
            selects_all: form.selects_all,
            ids: form.ids,
            count: *total,
            digest: *digest,
            first: first
                .iter()
                .map(|token| (token.name.as_str().to_owned(), short_id(token.id)))
                .collect(),
            more: (more > 0).then(|| fill(texts.and_more, [&number(more)])),
            type_number: is_dangerous.then(|| fill(texts.bulk_type_number, [&number(*total)])),
            expiries: days.into_iter().chain(others).filter(|_| sets_expiry).collect(),
            expires: fields.text("expires").to_owned(),
            label: form.action.label(texts),
            is_dangerous,
            layout,
        }
    }
}

/// `POST /console/tokens/selection/change`: changes exactly the tokens that were confirmed, or none.
pub async fn change(
    request: HttpRequest,
    SubmittedForm { session, fields }: SubmittedForm,
) -> Result<HttpResponse, ApiError> {
    require(&session.call, Operation::ChangeMatching)?;
    let form = SelectionForm::read(&fields)?;
    let layout = &session.layout;
    let texts = layout.texts;
    // Typed with or without separators.
    let typed: String = fields.text("number").chars().filter(char::is_ascii_digit).collect();
    if form.action == BulkAction::Delete && typed != fields.text("count") {
        return ask(&request, session, &fields, Some(texts.bulk_wrong_number)).await;
    }
    let Ok(bulk) = bulk_change(form.action, &fields, layout.now) else {
        return ask(&request, session, &fields, Some(texts.bad_expiry)).await;
    };
    let state = state(&request)?;
    let selection = form.selection(layout.now, state.config.legacy_uuid_auth)?;
    let Ok(digest) = fields.text("digest").parse::<SelectionDigest>() else {
        return ask(&request, session, &fields, Some(texts.bulk_selection_changed)).await;
    };
    match state
        .service
        .change_selected(session.call.clone(), selection, bulk, digest)
        .await
    {
        Ok(changed) => {
            let location = form
                .back
                .with_counted_notice(&session.layout.base, form.action.notice(), changed);
            Ok(see_other(&location))
        }
        Err(Error::Conflict(_)) => ask(&request, session, &fields, Some(texts.bulk_selection_changed)).await,
        Err(error) => Err(error.into()),
    }
}

fn bulk_change(action: BulkAction, fields: &FormFields, now: Timestamp) -> Result<BulkChange, Invalid> {
    Ok(match action {
        BulkAction::Delete => BulkChange::Delete,
        BulkAction::Disable => BulkChange::SetDisabled(true),
        BulkAction::Enable => BulkChange::SetDisabled(false),
        BulkAction::SetExpiry => BulkChange::SetExpiry(expiry(fields, now)?),
    })
}

fn expiry(fields: &FormFields, now: Timestamp) -> Result<Expiry, Invalid> {
    let missing = || Invalid::new("expiry", "choose one");
    let chosen = fields.text("expiry");
    let days = EXPIRY_DAYS.into_iter().find(|days| days.to_string() == chosen);
    let expiry = match (days, chosen) {
        (Some(days), _) => Expiry::At(now.saturating_add(std::time::Duration::from_secs(days * 86_400))),
        (None, NEVER) => Expiry::Never,
        (None, AT_A_TIME) => Expiry::At(parse_datetime_local("expires", fields.text("expires"))?.ok_or_else(missing)?),
        (None, _) => return Err(missing()),
    };
    expiry.require_future(now)
}
