//! The presets of the form: sets of permissions, and times until the expiry.

use std::time::Duration;

use crate::{
    domain::{
        clock::Timestamp,
        permission::{Permission, PermissionSet},
    },
    http::console::{
        display_time::DisplayTime,
        layout::Layout,
        text::{count, fill},
    },
};

/// A preset of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PermissionPreset {
    /// No permissions.
    #[default]
    None,
    /// Read tokens: the legacy API's `read`.
    Read,
    /// Read and change tokens: the legacy API's `read` and `change`.
    Change,
    /// The permissions whose boxes are checked.
    Custom,
}

impl PermissionPreset {
    const ALL: [Self; 4] = [Self::None, Self::Read, Self::Change, Self::Custom];

    /// Returns the preset with this name; `None` if the form does not offer it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// Returns the value of the field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Change => "change",
            Self::Custom => "custom",
        }
    }

    /// Returns the preset of exactly these permissions.
    pub fn of(permissions: PermissionSet) -> Self {
        let same = |preset: &Self| preset.permissions() == Some(permissions);
        Self::ALL.into_iter().find(same).unwrap_or(Self::Custom)
    }

    /// Returns the permissions; `None` if the boxes decide.
    pub fn permissions(self) -> Option<PermissionSet> {
        match self {
            Self::None => Some(PermissionSet::default()),
            Self::Read => Some(PermissionSet::default().with(Permission::OrganizationAPITokenRead, true)),
            Self::Change => Some(PermissionSet::token_management()),
            Self::Custom => None,
        }
    }
}

/// The times until the expiry that the form offers, in days.
const EXPIRY_DAYS: [u16; 4] = [7, 30, 90, 365];

/// The chosen expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpiryChoice {
    /// In so many days.
    Days(u16),
    /// At the time in the field.
    At,
    /// Never.
    #[default]
    Never,
}

impl ExpiryChoice {
    /// Returns the choice with this name; `None` if the form does not offer it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|choice| choice.name() == name)
    }

    fn all() -> impl Iterator<Item = Self> {
        EXPIRY_DAYS.map(Self::Days).into_iter().chain([Self::At, Self::Never])
    }

    /// Returns the value of the field.
    pub fn name(self) -> String {
        match self {
            Self::Days(days) => days.to_string(),
            Self::At => "at".to_owned(),
            Self::Never => "never".to_owned(),
        }
    }

    /// Returns the time `days` days from now.
    pub fn after_days(days: u16, now: Timestamp) -> Timestamp {
        now.saturating_add(Duration::from_hours(24 * u64::from(days)))
    }
}

/// A radio button of the form.
pub struct Choice {
    /// The value.
    pub value: String,
    /// The label.
    pub label: String,
    /// An explanation.
    pub hint: Option<&'static str>,
    /// The names of the permissions that the choice grants, for the script that checks their boxes.
    pub permissions: Option<String>,
    /// The expiry that the choice means.
    pub expires: Option<DisplayTime>,
    /// `true` if it is selected.
    pub is_checked: bool,
}

/// Returns the presets of permissions.
pub fn permission_choices(chosen: PermissionPreset, layout: &Layout) -> Vec<Choice> {
    let texts = layout.token_texts();
    let choice = |preset: PermissionPreset| {
        let (label, hint) = match preset {
            PermissionPreset::None => (texts.preset_none.to_owned(), Some(texts.preset_none_hint)),
            PermissionPreset::Read => (texts.preset_read.to_owned(), Some(texts.preset_read_hint)),
            PermissionPreset::Change => (texts.preset_change.to_owned(), Some(texts.preset_change_hint)),
            PermissionPreset::Custom => (fill(texts.preset_custom, [&Permission::ALL.len()]), None),
        };
        Choice {
            value: preset.name().to_owned(),
            label,
            hint,
            permissions: preset.permissions().map(|all| all.to_string()),
            expires: None,
            is_checked: preset == chosen,
        }
    };
    PermissionPreset::ALL.map(choice).into()
}

/// Returns the choices of the expiry, each number of days with its date.
pub fn expiry_choices(chosen: ExpiryChoice, layout: &Layout) -> Vec<Choice> {
    let texts = layout.token_texts();
    let choice = |choice: ExpiryChoice| {
        let (label, expires) = match choice {
            ExpiryChoice::Days(days) => {
                let time = ExpiryChoice::after_days(days, layout.now);
                (count(texts.expiry_days, days.into()), Some(layout.display_time(time)))
            }
            ExpiryChoice::At => (texts.expiry_at.to_owned(), None),
            ExpiryChoice::Never => (texts.expiry_never.to_owned(), None),
        };
        Choice {
            value: choice.name(),
            label,
            hint: None,
            permissions: None,
            expires,
            is_checked: choice == chosen,
        }
    };
    ExpiryChoice::all().map(choice).collect()
}
