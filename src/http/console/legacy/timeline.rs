//! The timeline of the legacy API's retirement.

use crate::{
    domain::{
        brownout::Brownout,
        clock::Timestamp,
        legacy_phase::{LegacyMode, LegacyPhase, LegacyState},
    },
    http::console::{
        display_time::{DisplayTime, exact},
        layout::Layout,
        text::{count, fill},
        texts::legacy::LegacyTexts,
    },
};

/// Maximum number of past brownouts on the timeline. Earlier ones are counted.
const MAX_PAST: usize = 3;

/// The timeline.
pub struct Timeline {
    /// Number of brownouts before those on the timeline, as a sentence.
    pub earlier: Option<String>,
    /// The events, the earliest first.
    pub items: Vec<TimelineItem>,
}

/// An event on the timeline.
pub struct TimelineItem {
    /// The time.
    pub at: DisplayTime,
    /// What happens.
    pub title: String,
    /// The class in the style sheet: `past`, `now`, or `future`.
    pub class: &'static str,
}

impl Timeline {
    /// Creates the timeline of a phase, with the state `now`.
    pub fn new(phase: &LegacyPhase, state: LegacyState, layout: &Layout, texts: &LegacyTexts) -> Self {
        let now = layout.now;
        let (past, coming): (Vec<Brownout>, Vec<Brownout>) =
            phase.brownouts.iter().partition(|brownout| brownout.end() <= now);
        let mut past = past;
        past.sort_unstable_by_key(|brownout| brownout.start());
        let earlier = past.len().saturating_sub(MAX_PAST);
        let shown = past.into_iter().skip(earlier).chain(coming);
        let brownouts = shown.map(|brownout| (brownout.start(), fill(texts.brownout, [&exact(brownout.end())])));
        let mut events: Vec<(Timestamp, String)> = brownouts.collect();
        events.push((phase.deprecation, texts.deprecated.to_owned()));
        events.extend(phase.sunset.map(|sunset| (sunset, texts.sunset.to_owned())));
        let mut items: Vec<(Timestamp, TimelineItem)> = events
            .into_iter()
            .map(|(at, title)| {
                let class = if at <= now { "past" } else { "future" };
                let at_page = layout.display_time(at);
                (
                    at,
                    TimelineItem {
                        at: at_page,
                        title,
                        class,
                    },
                )
            })
            .collect();
        let current = TimelineItem {
            at: layout.display_time(now),
            title: state_text(state, texts),
            class: "now",
        };
        items.push((now, current));
        // The sort is stable: what begins now comes before the current state.
        items.sort_by_key(|(at, _)| *at);
        Self {
            earlier: (earlier > 0).then(|| count(texts.earlier_brownouts, earlier as u64)),
            items: items.into_iter().map(|(_, item)| item).collect(),
        }
    }
}

/// Returns the state of the legacy API in words.
fn state_text(state: LegacyState, texts: &LegacyTexts) -> String {
    match state {
        LegacyState::Mode(LegacyMode::On) => texts.state_on.to_owned(),
        LegacyState::Mode(LegacyMode::ReadOnly) => texts.state_read_only.to_owned(),
        LegacyState::Mode(LegacyMode::Off) => texts.state_off.to_owned(),
        LegacyState::Brownout(end) => fill(texts.state_brownout, [&exact(end)]),
    }
}
