//! How far the legacy API is on its way out.

use serde_json::{Value, json};

use crate::domain::{brownout::Brownout, clock::Timestamp};

/// How far the legacy API is on its way out.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What it still does.
    pub mode: LegacyMode,
    /// Since when it is deprecated (RFC 9745).
    pub deprecation: Timestamp,
    /// When it is to be switched off, if that is known (RFC 8594).
    pub sunset: Option<Timestamp>,
    /// When it is closed for a while.
    pub brownouts: Vec<Brownout>,
}

impl Phase {
    /// When the brown-out ends that there is at `now`. What is off is not browned out.
    pub fn brownout_end(&self, now: Timestamp) -> Option<Timestamp> {
        match self.mode {
            LegacyMode::Off => None,
            LegacyMode::On | LegacyMode::ReadOnly => Brownout::end_of(&self.brownouts, now),
        }
    }

    /// What the audit log says of it; `uuid_auth` is whether the gate takes uuids.
    pub fn details(&self, uuid_auth: bool) -> Value {
        let brownouts = self.brownouts.iter().map(ToString::to_string);
        json!({
            "mode": self.mode.name(),
            "deprecation": self.deprecation,
            "sunset": self.sunset,
            "brownouts": brownouts.collect::<Vec<_>>(),
            "uuidAuth": uuid_auth,
        })
    }
}

/// What the legacy API still does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LegacyMode {
    /// Everything.
    #[default]
    On,
    /// It shows tokens and refuses to change them, with 403.
    ReadOnly,
    /// Nothing: 410, and where to go instead.
    Off,
}

impl LegacyMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::On, Self::ReadOnly, Self::Off];

    /// The name that it is set by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::ReadOnly => "read-only",
            Self::Off => "off",
        }
    }
}
