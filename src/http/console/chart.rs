//! A bar chart of calls per day, rendered as SVG.

use std::collections::BTreeMap;

use super::{text::fill, texts::Texts};
use crate::domain::clock::Day;

/// The width of a day and of its bar, and the height of the chart, in SVG user units.
const STEP: u64 = 20;
const BAR: u64 = 14;
const HEIGHT: u64 = 120;

/// A chart with one bar per day.
pub struct Chart {
    /// The width of the chart.
    pub width: u64,
    /// The height of the chart.
    pub height: u64,
    /// The bars, the earliest day first.
    pub bars: Vec<Bar>,
    /// Maximum number of calls on a day.
    pub max: u64,
    /// The first day.
    pub first: String,
    /// The last day.
    pub last: String,
}

/// The bar of a day.
pub struct Bar {
    /// The left edge.
    pub x: u64,
    /// The top edge.
    pub y: u64,
    /// The width.
    pub width: u64,
    /// The height.
    pub height: u64,
    /// The tooltip.
    pub title: String,
}

impl Chart {
    /// Creates the chart of the `days` days that end with `today`.
    pub fn new(calls: &BTreeMap<Day, u64>, today: Day, days: u16, texts: &Texts) -> Self {
        let days: Vec<Day> = (0..days).rev().map(|before| today.before(before)).collect();
        let count = |day: &Day| calls.get(day).copied().unwrap_or_default();
        let max = days.iter().map(count).max().unwrap_or_default();
        let bars = days.iter().zip(0..).map(|(day, number): (_, u64)| {
            let calls = count(day);
            // A day with any calls has a visible bar.
            let height = (calls * HEIGHT)
                .checked_div(max)
                .unwrap_or_default()
                .max(u64::from(calls > 0) * 2);
            Bar {
                x: number * STEP + (STEP - BAR) / 2,
                y: HEIGHT - height,
                width: BAR,
                height,
                title: fill(texts.chart_day, [day, &calls]),
            }
        });
        let day = |day: Option<&Day>| day.map(ToString::to_string).unwrap_or_default();
        Self {
            width: STEP * u64::try_from(days.len()).unwrap_or_default(),
            height: HEIGHT,
            bars: bars.collect(),
            max,
            first: day(days.first()),
            last: day(days.last()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::console::language::Language;

    #[test]
    fn the_busiest_day_has_the_tallest_bar() {
        let (texts, today) = (Language::English.texts(), Day::from_number(20_000));
        let calls = BTreeMap::from([(today, 1), (today.before(1), 1000), (today.before(9), 500)]);
        let chart = Chart::new(&calls, today, 3, texts);
        let heights: Vec<_> = chart.bars.iter().map(|bar| (bar.x, bar.y, bar.height)).collect();
        assert_eq!(heights, [(3, 120, 0), (23, 0, 120), (43, 118, 2)]);
        assert_eq!((chart.width, chart.max), (60, 1000));
        assert_eq!(chart.bars[1].title, "2024-10-03, calls: 1000");
        assert_eq!(
            (chart.first.as_str(), chart.last.as_str()),
            ("2024-10-02", "2024-10-04")
        );
        let none = Chart::new(&BTreeMap::new(), today, 30, texts);
        assert!(none.bars.iter().all(|bar| bar.height == 0));
    }
}
