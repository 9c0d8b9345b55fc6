//! The permissions of the `/api-tokens` API, and sets of them.

use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{
    Invalid,
    invalid::{find_closest, parse_field},
};

macro_rules! permissions {
    ($($name:ident $shown:literal,)*) => {
        /// A permission of the `/api-tokens` API. Variants are declared in the order of their
        /// names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "the API publishes only the names, without descriptions")]
        pub enum Permission { $($name,)* }

        impl Permission {
            /// All permissions, sorted by name.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the name in the API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Returns the permission with exactly this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $(known if known == stringify!($name) => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Returns the display name: that of Panther's console where it is published.
            #[must_use]
            pub const fn display_name(self) -> &'static str {
                match self { $(Self::$name => $shown,)* }
            }
        }
    };
}

permissions! {
    AIRunAsModify "AI Run As",
    AlertModify "Manage Alerts",
    AlertRead "Read Alerts",
    BulkUpload "Bulk Upload",
    BulkUploadValidate "Bulk Upload Validate",
    CloudsecSourceModify "Manage Cloud Security Sources",
    CloudsecSourceRead "View Cloud Security Sources",
    DataAnalyticsModify "Manage Saved Searches",
    DataAnalyticsRead "Query Data Lake",
    DestinationModify "Manage Destinations",
    DestinationRead "View Destinations",
    GeneralSettingsModify "Edit Settings & SAML Preferences",
    GeneralSettingsRead "Read Panther Settings Info",
    LogSourceModify "Manage Log Sources",
    LogSourceRawDataRead "View Raw Log Data",
    LogSourceRead "View Log Sources",
    LookupModify "Manage Lookups",
    LookupRead "View Lookups",
    ManageAIResponses "Manage AI Responses",
    ManageAISkills "Manage AI Skills",
    ManageScheduledPrompts "Manage Scheduled Prompts",
    McpServerModify "Manage MCP Servers",
    McpServerRead "View & Connect to MCP Servers",
    NotificationsSend "Send Notifications",
    OrganizationAPITokenModify "Manage API Tokens",
    OrganizationAPITokenRead "Read API Token Info",
    PolicyModify "Manage Policies",
    PolicyRead "View Policies",
    ResourceModify "Manage Resources",
    ResourceRead "View Resources",
    RuleModify "Manage Rules",
    RuleRead "View Rules",
    RunPantherAI "Run Panther AI",
    SummaryRead "Read Panther Metrics",
    UserModify "Manage Users",
    UserRead "Read User Info",
    ViewAIPrivateResponses "View AI Private Responses",
    ViewAISkills "View AI Skills",
    ViewScheduledPrompts "View Scheduled Prompts",
}

impl FromStr for Permission {
    type Err = Invalid;

    /// Parses a name.
    ///
    /// # Errors
    /// [`Invalid`] if there is no such permission. The message suggests a similar name.
    fn from_str(name: &str) -> Result<Self, Invalid> {
        Self::from_name(name).ok_or_else(|| {
            let message = match find_closest(name, Permission::ALL.iter().map(|known| known.name())) {
                Some(meant) => format!("unknown permission {name:?}; did you mean {meant:?}?"),
                None => format!("unknown permission {name:?}; names are written like \"AlertRead\""),
            };
            Invalid::new("permission", message)
        })
    }
}

/// A set of permissions: one bit each, in the order of the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PermissionSet(u64);

const _: () = assert!(
    Permission::ALL.len() <= u64::BITS as usize,
    "a set has one bit per permission"
);

impl PermissionSet {
    /// Returns the permissions to read and to modify tokens: the default for a token that an admin
    /// creates, and the meaning of the legacy API's `read` and `change`.
    #[must_use]
    pub fn token_management() -> Self {
        Self::default()
            .with(Permission::OrganizationAPITokenRead, true)
            .with(Permission::OrganizationAPITokenModify, true)
    }

    /// Parses permission names in any order. Repeated names are allowed.
    ///
    /// # Errors
    /// [`Invalid`] for the first unknown name. The message suggests a similar name.
    pub fn parse<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Result<Self, Invalid> {
        let mut set = Self::default();
        for (index, name) in names.into_iter().enumerate() {
            let permission = parse_field("permissions", name.as_ref()).map_err(|invalid| invalid.at_index(index))?;
            set = set.with(permission, true);
        }
        Ok(set)
    }

    /// Returns this set with `permission` added if `held` is `true`, otherwise removed.
    #[must_use]
    pub const fn with(self, permission: Permission, held: bool) -> Self {
        let bit = 1 << permission as u64;
        Self(if held { self.0 | bit } else { self.0 & !bit })
    }

    /// Returns `true` if the set contains `permission`.
    #[must_use]
    pub const fn contains(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u64) != 0
    }

    /// Returns the permissions that are in this set and not in `other`.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns `true` if the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the permissions, sorted by name.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let next = Permission::ALL.get(rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(*next)
        })
    }
}

impl std::fmt::Display for PermissionSet {
    /// Writes the sorted names, separated by spaces.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, permission) in self.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{}", permission.name())?;
        }
        Ok(())
    }
}

impl Serialize for PermissionSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Permission::name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_39_names_are_sorted_and_found() {
        assert_eq!(Permission::ALL.len(), 39);
        assert!(Permission::ALL.is_sorted_by(|a, b| a.name() < b.name()));
        for permission in Permission::ALL {
            assert_eq!(Permission::from_name(permission.name()), Some(*permission));
        }
    }

    #[test]
    fn unknown_permissions_are_rejected_with_a_suggestion() {
        let error = PermissionSet::parse(["AlertRead", "alertmodfy"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "permissions[1]: unknown permission \"alertmodfy\"; did you mean \"AlertModify\"?"
        );
        let error = PermissionSet::parse(["zzz"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "permissions[0]: unknown permission \"zzz\"; names are written like \"AlertRead\""
        );
    }

    #[test]
    fn names_are_sorted_and_deduplicated() {
        let set = PermissionSet::parse(["UserRead", "AlertRead", "UserRead"]).unwrap();
        assert_eq!(set.to_string(), "AlertRead UserRead");
    }
}
