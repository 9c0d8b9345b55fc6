//! The phases of the legacy API's retirement.

use std::fmt;

use serde_json::{Value, json};

use super::{brownout::Brownout, clock::Timestamp, named::named_enum};

/// The configured steps of the legacy API's retirement.
#[derive(Clone, Debug)]
pub struct LegacyPhase {
    /// The mode outside brownouts.
    pub mode: LegacyMode,
    /// The start of the deprecation (RFC 9745).
    pub deprecation: Timestamp,
    /// The announced end, if there is one (RFC 8594).
    pub sunset: Option<Timestamp>,
    /// Intervals in which the legacy API responds with 503.
    pub brownouts: Vec<Brownout>,
}

impl LegacyPhase {
    /// Returns the end of the brownout at `now`; `None` if there is none, or if the legacy API is off.
    pub fn brownout_end(&self, now: Timestamp) -> Option<Timestamp> {
        brownout_end(self.mode, &self.brownouts, now)
    }

    /// Returns the state of the legacy API at `now`.
    pub fn state(&self, now: Timestamp) -> LegacyState {
        LegacyState::new(self.mode, &self.brownouts, now)
    }

    /// Returns the details of this phase's audit event. `uuid_auth` is `true` if the gate accepts UUIDs.
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

fn brownout_end(mode: LegacyMode, brownouts: &[Brownout], now: Timestamp) -> Option<Timestamp> {
    match mode {
        LegacyMode::Off => None,
        LegacyMode::On | LegacyMode::ReadOnly => Brownout::find_end(brownouts, now),
    }
}

named_enum! {
    /// The behavior of the legacy API outside brownouts.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
    pub enum LegacyMode {
        /// Serves all requests.
        #[default]
        On = "on",
        /// Serves reads and refuses changes with 403.
        ReadOnly = "read-only",
        /// Refuses all requests with 410, which names the successor.
        Off = "off",
    }
}

/// The behavior of the legacy API at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyState {
    /// The configured mode is in effect.
    Mode(LegacyMode),
    /// A brownout closes the legacy API until this time.
    Brownout(Timestamp),
}

impl LegacyState {
    fn new(mode: LegacyMode, brownouts: &[Brownout], now: Timestamp) -> Self {
        brownout_end(mode, brownouts, now).map_or(Self::Mode(mode), Self::Brownout)
    }

    /// Returns the state at `now` from the details of an audit event, as [`LegacyPhase::details`] writes them.
    #[must_use]
    pub fn from_details(details: &Value, now: Timestamp) -> Option<Self> {
        let name = details.get("mode")?.as_str()?;
        let mode = LegacyMode::ALL.into_iter().find(|mode| mode.name() == name)?;
        let brownouts = details.get("brownouts")?.as_array()?.iter();
        let brownouts: Vec<_> = brownouts
            .filter_map(|text| text.as_str()?.parse::<Brownout>().ok())
            .collect();
        Some(Self::new(mode, &brownouts, now))
    }

    /// Returns the name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mode(mode) => mode.name(),
            Self::Brownout(_) => "brownout",
        }
    }

    /// Returns the end of the brownout, if one is in effect.
    #[must_use]
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Mode(_) => None,
            Self::Brownout(end) => Some(end),
        }
    }

    /// Returns `true` if the legacy API is off permanently.
    #[must_use]
    pub const fn is_off(self) -> bool {
        matches!(self, Self::Mode(LegacyMode::Off))
    }
}

impl fmt::Display for LegacyState {
    /// Writes the end of a sentence about the legacy API: `is read-only`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "is {}", mode.name()),
            Self::Brownout(end) => write!(f, "is closed by a brownout until {end}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_depends_on_the_time_and_survives_the_audit_event() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let phase = |mode| LegacyPhase {
            mode,
            deprecation: at("2026-11-21T00:00:00Z"),
            sunset: None,
            brownouts: vec!["2030-01-01T09:00Z/PT15M".parse::<Brownout>().unwrap()],
        };
        for (mode, time, told) in [
            (LegacyMode::On, "2030-01-01T08:59:59Z", "is on"),
            (
                LegacyMode::On,
                "2030-01-01T09:00:00Z",
                "is closed by a brownout until 2030-01-01T09:15:00Z",
            ),
            (
                LegacyMode::ReadOnly,
                "2030-01-01T09:14:59Z",
                "is closed by a brownout until 2030-01-01T09:15:00Z",
            ),
            (LegacyMode::ReadOnly, "2030-01-01T09:15:00Z", "is read-only"),
            (LegacyMode::Off, "2030-01-01T09:00:00Z", "is off"),
        ] {
            let (phase, now) = (phase(mode), at(time));
            assert_eq!(phase.state(now).to_string(), told);
            assert_eq!(
                LegacyState::from_details(&phase.details(true), now),
                Some(phase.state(now))
            );
        }
        assert_eq!(
            LegacyState::from_details(&json!({ "mode": "maybe", "brownouts": [] }), at("2030-01-01T00:00:00Z")),
            None
        );
    }
}
