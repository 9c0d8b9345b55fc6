//! The callers on the legacy page: one row per caller, address, and program.

use std::collections::{BTreeSet, HashMap};

use crate::{
    domain::{
        actor::Actor,
        clock::Timestamp,
        legacy_report::CallerUsage,
        legacy_usage::{CallerAddress, LegacyCaller},
        name::TokenName,
        token::TokenId,
    },
    http::console::{
        display_time::DisplayTime,
        layout::Layout,
        paths::build_query,
        text::number,
        texts::Texts,
        token_label::{TokenLabel, actor_token},
    },
};

/// Maximum number of rows.
const MAX_ROWS: usize = 100;

/// A row of callers.
pub struct CallerRow {
    /// The caller, if it is a token.
    pub token: Option<TokenLabel>,
    /// The name of the caller, if it is not a token.
    pub who: String,
    /// The link to the events of the caller, if it is authenticated.
    pub events: Option<String>,
    /// The program; empty if the client sent none.
    pub program: String,
    /// The address of the client.
    pub client: String,
    /// The methods and prefixes.
    pub endpoints: Vec<String>,
    /// The time of the last call.
    pub last_seen: DisplayTime,
    /// Number of calls in the window.
    pub calls: String,
}

/// The usage by a caller at an address with a program, through any endpoint.
struct Group<'u> {
    caller: &'u LegacyCaller,
    endpoints: BTreeSet<String>,
    last_seen: Timestamp,
    calls: u64,
}

/// Returns the rows, the busiest caller first, and the number of those that are left out.
pub fn rows(callers: &[CallerUsage], names: &HashMap<TokenId, TokenName>, layout: &Layout) -> (Vec<CallerRow>, usize) {
    let mut groups: HashMap<_, Group<'_>> = HashMap::new();
    for usage in callers {
        let LegacyCaller {
            prefix,
            method,
            actor,
            client,
            user_agent,
        } = &usage.caller;
        let group = groups.entry((actor, client, user_agent)).or_insert_with(|| Group {
            caller: &usage.caller,
            endpoints: BTreeSet::new(),
            last_seen: usage.last_seen,
            calls: 0,
        });
        group.endpoints.insert(format!("{method} {prefix}"));
        group.last_seen = group.last_seen.max(usage.last_seen);
        group.calls += usage.recent;
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_unstable_by(|one, other| {
        let busier = (other.calls, other.last_seen).cmp(&(one.calls, one.last_seen));
        busier.then_with(|| one.caller.cmp(other.caller))
    });
    let left_out = groups.len().saturating_sub(MAX_ROWS);
    let rows = groups.into_iter().take(MAX_ROWS);
    (
        rows.map(|group| CallerRow::new(group, names, layout)).collect(),
        left_out,
    )
}

/// Returns the tokens among the callers.
pub fn tokens(callers: &[CallerUsage]) -> Vec<TokenId> {
    let actors = callers.iter().filter_map(|usage| usage.caller.actor.as_ref());
    let ids: BTreeSet<_> = actors.filter_map(actor_token).collect();
    ids.into_iter().collect()
}

/// Returns the name of a caller on pages.
pub fn caller_name(actor: Option<&Actor>, names: &HashMap<TokenId, TokenName>, texts: &Texts) -> String {
    let Some(actor) = actor else {
        return texts.unknown_caller.to_owned();
    };
    TokenLabel::of_actor(actor, names).map_or_else(|| actor.id.clone(), |token| token.name)
}

/// Returns the address of a caller on pages.
pub fn address_text(client: CallerAddress, texts: &Texts) -> String {
    match client {
        CallerAddress::Known(address) => address.to_string(),
        CallerAddress::Unknown => texts.unknown_address.to_owned(),
        CallerAddress::Other => texts.others.to_owned(),
    }
}

impl CallerRow {
    fn new(group: Group<'_>, names: &HashMap<TokenId, TokenName>, layout: &Layout) -> Self {
        let actor = group.caller.actor.as_ref();
        let events = |actor: &Actor| format!("{}/audit{}", layout.base, build_query(&[("actor", &actor.id)]));
        Self {
            token: actor.and_then(|actor| TokenLabel::of_actor(actor, names)),
            who: caller_name(actor, names, layout.texts),
            events: actor.map(events),
            program: group.caller.user_agent.clone(),
            client: address_text(group.caller.client, layout.texts),
            endpoints: group.endpoints.into_iter().collect(),
            last_seen: layout.display_time(group.last_seen),
            calls: number(group.calls),
        }
    }
}
