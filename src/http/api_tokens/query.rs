//! The query parameters of lists and of deletions by filter.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::{
        Invalid,
        page::{ColumnFilter, TokenFilter, TokenState},
        search::SearchFilter,
    },
    http::extract::{
        json::field_names,
        query::{QueryParameters, read_time},
    },
    view::schemas::{self, PermissionName},
};

/// The query parameters of `GET /api-tokens`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Maximum number of tokens on a page. CSV contains all matching tokens without it
    #[param(value_type = u16, required = false, minimum = 1, maximum = 1000)]
    pub limit: Option<String>,
    /// The `next` of the previous page
    #[param(required = false, nullable = false, pattern = "^[A-Za-z0-9_-]{11}$")]
    pub cursor: Option<String>,
    #[serde(flatten)]
    #[param(ignore)]
    pub filters: FilterQuery,
}

impl QueryParameters for ListQuery {
    fn names() -> Vec<&'static [&'static str]> {
        vec![&["limit", "cursor"], field_names::<FilterQuery>()]
    }
}

/// The query parameters of `DELETE /api-tokens`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// The expected number of matching tokens. If it differs, nothing is deleted
    #[param(value_type = u64)]
    pub expected: Option<String>,
    #[serde(flatten)]
    #[param(ignore)]
    pub filters: FilterQuery,
}

impl QueryParameters for DeleteQuery {
    fn names() -> Vec<&'static [&'static str]> {
        vec![&["expected"], field_names::<FilterQuery>()]
    }
}

/// The filters of lists and of deletions.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct FilterQuery {
    /// Only tokens whose name contains this text, in any case
    #[param(required = false, nullable = false, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: Option<String>,
    /// Only tokens with exactly this name
    #[param(required = false, nullable = false, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name_equals: Option<String>,
    /// Only tokens with exactly this owner
    #[param(required = false, nullable = false, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    owner: Option<String>,
    /// Only tokens that this actor created: the name of an admin, the ID of a token, or cli
    #[param(required = false, nullable = false, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    created_by: Option<String>,
    /// Only tokens with this permission
    #[param(required = false, value_type = PermissionName)]
    permission: Option<String>,
    /// Only tokens in this state
    #[param(required = false, schema_with = schemas::token_state)]
    state: Option<String>,
    /// Only tokens last used before this time, or never used and created before it
    #[param(required = false, nullable = false, format = DateTime)]
    unused_since: Option<String>,
    /// Only tokens that expire before this time
    #[param(required = false, nullable = false, format = DateTime)]
    expires_before: Option<String>,
}

impl FilterQuery {
    /// Returns the filter of a server that accepts, or refuses, the uuids of tokens without a value.
    pub fn filter(self, legacy_uuid_auth: bool) -> Result<TokenFilter, Invalid> {
        let search = SearchFilter {
            text: None,
            name: read_text("name", self.name)?.filter(|name| !name.is_empty()),
            permission: self.permission.as_deref().map(str::parse).transpose()?,
            network: None,
        };
        let columns = ColumnFilter {
            name_equals: read_text("nameEquals", self.name_equals)?,
            owner: read_text("owner", self.owner)?,
            created_by: read_text("createdBy", self.created_by)?,
            state: self.state.map(|state| state.parse::<TokenState>()).transpose()?,
            unused_since: read_time("unusedSince", self.unused_since)?,
            expires_before: read_time("expiresBefore", self.expires_before)?,
            value_older_than: None,
            legacy_uuid_auth,
        };
        Ok(TokenFilter { search, columns })
    }
}

/// Refuses control characters: nothing that is searched contains one, and PostgreSQL refuses NUL.
fn read_text(field: &'static str, text: Option<String>) -> Result<Option<String>, Invalid> {
    if text.as_deref().is_some_and(|text| text.contains(char::is_control)) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    Ok(text)
}
