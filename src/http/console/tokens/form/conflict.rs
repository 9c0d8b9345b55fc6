//! Two versions of a token side by side: what was saved meanwhile, and what the form contains.

use super::input::TokenInput;
use crate::{
    domain::{
        annotation::{Description, Owner},
        expiry::Expiry,
        permission::{Permission, PermissionSet},
        token::Token,
    },
    http::console::{
        display_time::{DisplayTime, exact},
        layout::Layout,
        tokens::describe_actor,
    },
};

/// The fields in which a form differs from the saved token.
pub struct Conflict {
    /// The last update of the token.
    pub updated: Option<(DisplayTime, String)>,
    /// The fields that differ.
    pub rows: Vec<Difference>,
}

/// A field that differs.
pub struct Difference {
    /// The name of the field.
    pub label: &'static str,
    /// The saved value.
    pub theirs: String,
    /// The value in the form.
    pub mine: String,
}

impl Conflict {
    /// Compares a form with the saved token. Returns `None` if there is nothing left to save.
    pub fn between(token: &Token, mine: &TokenInput, layout: &Layout) -> Option<Self> {
        let TokenInput {
            name,
            permissions,
            blocks,
            expires_at,
            description,
            owner,
        } = mine;
        let (texts, more) = (layout.texts, layout.token_texts());
        let described = |one: Option<&Description>| one.map(|one| one.as_str().to_owned()).unwrap_or_default();
        let owned = |one: Option<&Owner>| one.map(|one| one.as_str().to_owned()).unwrap_or_default();
        let shown = |set: PermissionSet| join_lines(set.iter().map(Permission::display_name));
        let expiry = |expiry: Expiry| expiry.time().map_or_else(|| more.expires_never.to_owned(), exact);
        let fields = [
            (texts.name, token.name.as_str().to_owned(), name.as_str().to_owned()),
            (
                texts.description,
                described(token.description.as_ref()),
                described(description.clone().apply(token.description.clone()).as_ref()),
            ),
            (
                texts.owner,
                owned(token.owner.as_ref()),
                owned(owner.clone().apply(token.owner.clone()).as_ref()),
            ),
            (
                texts.allowed_networks,
                join_lines(token.allowed_cidr_blocks.iter()),
                join_lines(blocks.iter()),
            ),
            (texts.permissions, shown(token.permissions), shown(*permissions)),
            (texts.expires, expiry(token.expires_at), expiry(*expires_at)),
        ];
        let differing = fields.into_iter().filter(|(_, theirs, mine)| theirs != mine);
        let rows: Vec<_> = differing
            .map(|(label, theirs, mine)| Difference { label, theirs, mine })
            .collect();
        let updated = token.updated.as_ref();
        (!rows.is_empty()).then(|| Self {
            updated: updated.map(|change| (layout.display_time(change.at), describe_actor(&change.by, texts))),
            rows,
        })
    }
}

fn join_lines(items: impl Iterator<Item = impl ToString>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join("\n")
}
