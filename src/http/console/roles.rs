//! The roles of admins, as pages name them.

use super::{
    layout::Layout,
    text::fill,
    texts::{Texts, account},
};
use crate::domain::{admin::Role, authorization::Denied};

/// A role to choose in a form.
pub struct RoleChoice {
    /// The name in the form.
    pub value: &'static str,
    /// The name on the page.
    pub title: &'static str,
    /// What the role may do.
    pub hint: &'static str,
    /// `true` if the role is selected.
    pub is_selected: bool,
}

impl RoleChoice {
    /// Returns all roles, with this one selected.
    pub fn all(selected: Role, texts: &'static Texts) -> Vec<Self> {
        let choice = |role: Role| {
            let (title, hint) = describe_role(role, texts);
            Self {
                value: role.name(),
                title,
                hint,
                is_selected: role == selected,
            }
        };
        Role::ALL.into_iter().map(choice).collect()
    }
}

/// Returns the name of a role, and what it may do.
pub const fn describe_role(role: Role, texts: &'static Texts) -> (&'static str, &'static str) {
    match role {
        Role::Admin => (texts.role_admin, texts.role_admin_hint),
        Role::Operator => (texts.role_operator, texts.role_operator_hint),
        Role::Auditor => (texts.role_auditor, texts.role_auditor_hint),
    }
}

/// Says why a page is refused, and which role includes it.
pub fn explain(denied: &Denied, layout: &Layout) -> String {
    let (t, texts) = (
        layout.texts,
        layout.language.choose(&account::ENGLISH, &account::KOREAN),
    );
    match denied {
        Denied::MissingRole { needed, role } => {
            let title = |role: Role| describe_role(role, t).0.to_owned();
            let needed = needed.iter().copied().map(title);
            let needed = needed.reduce(|all, next| fill(texts.or, [&all, &next]));
            fill(texts.needs_role, [&title(*role), &needed.unwrap_or_default()])
        }
        // An admin is never a token, and only a role keeps one from a page.
        Denied::MissingPermission(_)
        | Denied::NotAdmin
        | Denied::NotAuthenticated
        | Denied::ExcessPermissions(_)
        | Denied::TargetPermissions(_)
        | Denied::ExcessBlocks(_)
        | Denied::ExcessLifetime(_)
        | Denied::TargetBlocks(_) => t.problem_role.to_owned(),
    }
}
