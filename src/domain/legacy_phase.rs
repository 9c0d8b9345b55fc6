//! How far the legacy API is on its way out.

use std::fmt;

use serde_json::{Value, json};

use super::{brownout::Brownout, clock::Timestamp};

/// The configured steps of the legacy API's retirement.
#[derive(Clone, Debug)]
pub struct Phase {
    /// The mode outside brownouts.
    pub mode: LegacyMode,
    /// The start of the deprecation (RFC 9745).
    pub deprecation: Timestamp,
    /// The announced end, if there is one (RFC 8594).
    pub sunset: Option<Timestamp>,
    /// Intervals in which the legacy API answers 503.
    pub brownouts: Vec<Brownout>,
}

impl Phase {
    /// The end of the brownout at `now`. What is off is not browned out.
    pub fn brownout_end(&self, now: Timestamp) -> Option<Timestamp> {
        brownout_end(self.mode, &self.brownouts, now)
    }

    /// What the legacy API does at `now`.
    pub fn state(&self, now: Timestamp) -> LegacyState {
        LegacyState::new(self.mode, &self.brownouts, now)
    }

    /// The details of the audit event of this phase; `uuid_auth` tells whether the gate accepts uuids.
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
        LegacyMode::On | LegacyMode::ReadOnly => Brownout::end_of(brownouts, now),
    }
}

/// What the legacy API does outside brownouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LegacyMode {
    /// Everything.
    #[default]
    On,
    /// Shows tokens and refuses to change them, with 403.
    ReadOnly,
    /// Nothing: 410, which names the successor.
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

/// What the legacy API does at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyState {
    /// It answers as its mode says.
    Mode(LegacyMode),
    /// A brownout closes it until then.
    Brownout(Timestamp),
}

impl LegacyState {
    fn new(mode: LegacyMode, brownouts: &[Brownout], now: Timestamp) -> Self {
        brownout_end(mode, brownouts, now).map_or(Self::Mode(mode), Self::Brownout)
    }

    /// The state at `now` by the details of an audit event, as [`Phase::details`] gives them.
    #[must_use]
    pub fn of_details(details: &Value, now: Timestamp) -> Option<Self> {
        let name = details.get("mode")?.as_str()?;
        let mode = LegacyMode::ALL.into_iter().find(|mode| mode.name() == name)?;
        let brownouts = details.get("brownouts")?.as_array()?.iter();
        let brownouts: Vec<_> = brownouts
            .filter_map(|text| Brownout::parse(text.as_str()?).ok())
            .collect();
        Some(Self::new(mode, &brownouts, now))
    }

    /// The name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mode(mode) => mode.name(),
            Self::Brownout(_) => "brownout",
        }
    }

    /// The end of the brownout.
    #[must_use]
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Mode(_) => None,
            Self::Brownout(end) => Some(end),
        }
    }

    /// Whether it is gone for good.
    #[must_use]
    pub const fn is_off(self) -> bool {
        matches!(self, Self::Mode(LegacyMode::Off))
    }
}

impl fmt::Display for LegacyState {
    /// The end of a sentence about the legacy API: `is read-only`.
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
    fn the_state_is_that_of_the_moment_and_the_same_from_the_audit() {
        let at = |text| Timestamp::parse("time", text).unwrap();
        let phase = |mode| Phase {
            mode,
            deprecation: at("2026-11-21T00:00:00Z"),
            sunset: None,
            brownouts: vec![Brownout::parse("2030-01-01T09:00Z/PT15M").unwrap()],
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
                LegacyState::of_details(&phase.details(true), now),
                Some(phase.state(now))
            );
        }
        assert_eq!(
            LegacyState::of_details(&json!({ "mode": "maybe", "brownouts": [] }), at("2030-01-01T00:00:00Z")),
            None
        );
    }
}
