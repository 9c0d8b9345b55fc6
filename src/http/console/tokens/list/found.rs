//! Finds the tokens of a list.

use actix_web::HttpRequest;

use crate::{
    domain::{
        Invalid,
        caller::Call,
        page::{BoundedCount, PageSize},
        sort::SortedPage,
        token_group::TokenGroup,
    },
    http::{
        console::{layout::Layout, tokens::filters::ListQuery},
        error::ApiError,
        extract::state,
    },
};

/// The tokens of a list, and the numbers beside the filters.
pub struct Found {
    /// The page.
    pub page: SortedPage,
    /// The numbers of tokens in the groups; `None` for those that were not counted.
    pub numbers: Vec<(TokenGroup, Option<BoundedCount>)>,
    /// The number of tokens in the list.
    pub total: BoundedCount,
    /// `true` if no filter applies. An empty list then means that there are no tokens.
    pub is_unfiltered: bool,
}

impl Found {
    /// Returns the number of tokens in a group, if they were counted. Those of the list always are.
    pub fn number(&self, group: TokenGroup, shown: TokenGroup) -> Option<BoundedCount> {
        if group == shown {
            return Some(self.total);
        }
        let number = self.numbers.iter().find(|(known, _)| *known == group);
        number.and_then(|(_, number)| *number)
    }
}

/// Finds the tokens of a list.
///
/// # Errors
/// Those of the service. The inner error says which filter cannot be used.
pub async fn find(
    request: &HttpRequest,
    call: &Call,
    list: &ListQuery,
    layout: &Layout,
) -> Result<Result<Found, Invalid>, ApiError> {
    let state = state(request)?;
    let filter_of = |show: TokenGroup| {
        let list = ListQuery { show, ..list.clone() };
        list.filter(layout.now, state.config.legacy_uuid_auth)
    };
    let filters = TokenGroup::ALL
        .map(filter_of)
        .into_iter()
        .collect::<Result<Vec<_>, _>>();
    let (filters, filter) = match (filters, filter_of(list.show)) {
        (Ok(filters), Ok(filter)) => (filters, filter),
        (Err(invalid), _) | (_, Err(invalid)) => return Ok(Err(invalid)),
    };
    let is_unfiltered = filter.is_empty();
    let (order, position) = (list.order(), list.position.clone());
    let page = state
        .service
        .list_sorted(call, filter.clone(), order, position, PageSize::OF_CONSOLE)
        .await?;
    let all = filter_of(TokenGroup::All).unwrap_or_default();
    let groups = TokenGroup::ALL.into_iter().zip(filters);
    let (groups, filters): (Vec<_>, Vec<_>) = groups
        .filter(|(group, _)| page.total.is_none() || *group != list.show)
        .map(|(group, filter)| (group, filter.columns))
        .unzip();
    let counts = state.service.count(call, all, filters).await?;
    let numbers: Vec<_> = groups.into_iter().zip(counts.narrower).collect();
    let number = numbers.iter().find(|(group, _)| *group == list.show);
    let total = match page.total.or(number.and_then(|(_, number)| *number)) {
        Some(total) => total,
        None => state.service.count(call, filter, Vec::new()).await?.all,
    };
    Ok(Ok(Found {
        page,
        numbers,
        total,
        is_unfiltered,
    }))
}
