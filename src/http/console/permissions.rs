//! Groups of permissions, for the form of a token.

use super::texts::Texts;
use crate::domain::permission::{Permission, PermissionSet};

/// A group of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Tokens,
    Alerts,
    Data,
    Ai,
    Settings,
}

impl Group {
    const ALL: [Self; 5] = [Self::Tokens, Self::Alerts, Self::Data, Self::Ai, Self::Settings];

    const fn title(self, texts: &Texts) -> &'static str {
        match self {
            Self::Tokens => texts.group_tokens,
            Self::Alerts => texts.group_alerts,
            Self::Data => texts.group_data,
            Self::Ai => texts.group_ai,
            Self::Settings => texts.group_settings,
        }
    }

    const fn of(permission: Permission) -> Self {
        use Permission as P;
        match permission {
            P::OrganizationAPITokenModify | P::OrganizationAPITokenRead | P::UserModify | P::UserRead => Self::Tokens,
            P::AlertModify
            | P::AlertRead
            | P::BulkUpload
            | P::BulkUploadValidate
            | P::LookupModify
            | P::LookupRead
            | P::PolicyModify
            | P::PolicyRead
            | P::ResourceModify
            | P::ResourceRead
            | P::RuleModify
            | P::RuleRead => Self::Alerts,
            P::CloudsecSourceModify
            | P::CloudsecSourceRead
            | P::DataAnalyticsModify
            | P::DataAnalyticsRead
            | P::LogSourceModify
            | P::LogSourceRawDataRead
            | P::LogSourceRead
            | P::SummaryRead => Self::Data,
            P::AIRunAsModify
            | P::ManageAIResponses
            | P::ManageAISkills
            | P::ManageScheduledPrompts
            | P::McpServerModify
            | P::McpServerRead
            | P::RunPantherAI
            | P::ViewAIPrivateResponses
            | P::ViewAISkills
            | P::ViewScheduledPrompts => Self::Ai,
            P::DestinationModify
            | P::DestinationRead
            | P::GeneralSettingsModify
            | P::GeneralSettingsRead
            | P::NotificationsSend => Self::Settings,
        }
    }
}

/// A group of permissions with their check boxes.
pub struct PermissionGroup {
    /// The title of the group.
    pub title: &'static str,
    /// The permissions.
    pub permissions: Vec<PermissionChoice>,
}

/// The check box of a permission.
pub struct PermissionChoice {
    /// The name in the API.
    pub name: &'static str,
    /// The display name.
    pub label: &'static str,
    /// `true` if the box is checked.
    pub is_checked: bool,
}

/// Returns all permissions by group, sorted by display name, with those in `chosen` checked.
pub fn permission_groups(chosen: PermissionSet, texts: &Texts) -> Vec<PermissionGroup> {
    let of_group = |group| {
        let permissions = Permission::ALL
            .iter()
            .filter(|permission| Group::of(**permission) == group);
        let choice = |permission: &Permission| PermissionChoice {
            name: permission.name(),
            label: permission.display_name(),
            is_checked: chosen.contains(*permission),
        };
        let mut permissions: Vec<_> = permissions.map(choice).collect();
        permissions.sort_unstable_by_key(|choice| choice.label);
        PermissionGroup {
            title: group.title(texts),
            permissions,
        }
    };
    Group::ALL.into_iter().map(of_group).collect()
}
