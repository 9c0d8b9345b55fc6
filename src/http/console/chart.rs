//! A bar chart of a number per day, rendered as SVG, with its numbers as text.

use std::collections::BTreeMap;

use super::text::{count, fill, number};
use crate::domain::clock::Day;

/// The width of a day and of its bar, and the height of the chart, in SVG user units.
const STEP: u64 = 20;
const BAR: u64 = 14;
const HEIGHT: u64 = 120;

/// The texts of a chart.
#[derive(Clone, Copy)]
pub struct ChartTexts {
    /// The number on a day, with plural forms: `{} call|{} calls`.
    pub unit: &'static str,
    /// The sum and the busiest day: `{} in {} days. Busiest day: {}, {}.`
    pub summary: &'static str,
    /// Replaces the sum if it is zero.
    pub none: &'static str,
}

/// A chart with one bar per day.
pub struct Chart {
    /// The width of the chart.
    pub width: u64,
    /// The height of the chart.
    pub height: u64,
    /// The bars, the earliest day first.
    pub bars: Vec<Bar>,
    /// The labels of the vertical axis, from the top to zero.
    pub levels: [String; 3],
    /// The labels of the horizontal axis: the first, a middle, and the last day.
    pub days: [String; 3],
    /// The sum and the maximum as a sentence.
    pub summary: String,
    /// The days with a number other than zero, the latest first, with that number.
    pub numbers: Vec<(Day, String)>,
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
    pub fn new(counts: &BTreeMap<Day, u64>, today: Day, days: u16, texts: ChartTexts) -> Self {
        let days: Vec<Day> = (0..days).rev().map(|before| today.before(before)).collect();
        let count_on = |day: &Day| counts.get(day).copied().unwrap_or_default();
        let busiest = days.iter().copied().max_by_key(count_on).unwrap_or(today);
        let (max, sum) = (count_on(&busiest), days.iter().map(count_on).sum::<u64>());
        let top = round_up(max);
        let bars = days.iter().zip(0..).map(|(day, index): (_, u64)| {
            let counted = count_on(day);
            // A day with any number has a visible bar.
            let height = (counted * HEIGHT / top).max(u64::from(counted > 0) * 2);
            Bar {
                x: index * STEP + (STEP - BAR) / 2,
                y: HEIGHT - height,
                width: BAR,
                height,
                title: format!("{day}: {}", count(texts.unit, counted)),
            }
        });
        let label = |day: Option<&Day>| day.map(ToString::to_string).unwrap_or_default();
        let counted = |total| count(texts.unit, total);
        let numbers = days.iter().rev().filter(|day| count_on(day) > 0);
        Self {
            width: STEP * u64::try_from(days.len()).unwrap_or_default(),
            height: HEIGHT,
            bars: bars.collect(),
            levels: [top, top / 2, 0].map(number),
            days: [days.first(), days.get(days.len() / 2), days.last()].map(label),
            summary: if sum == 0 {
                fill(texts.none, [&days.len()])
            } else {
                fill(texts.summary, [&counted(sum), &days.len(), &busiest, &counted(max)])
            },
            numbers: numbers.map(|day| (*day, number(count_on(day)))).collect(),
        }
    }
}

/// Returns the smallest of 2, 4, 6, 8, 10, 20, 40, … that is not below `max`, so that half of it is a whole number.
fn round_up(max: u64) -> u64 {
    let mut step = 2_u64;
    while step.saturating_mul(5) < max {
        step = step.saturating_mul(10);
    }
    max.max(1).div_ceil(step).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: ChartTexts = ChartTexts {
        unit: "{} use|{} uses",
        summary: "{} in {} days. Busiest day: {}, {}.",
        none: "No uses in {} days.",
    };

    #[test]
    fn bars_are_measured_by_the_axis() {
        let today = Day::from_number(20_000);
        let counts = BTreeMap::from([(today, 1), (today.before(1), 1000), (today.before(9), 500)]);
        let chart = Chart::new(&counts, today, 3, TEXTS);
        let heights: Vec<_> = chart.bars.iter().map(|bar| (bar.x, bar.y, bar.height)).collect();
        assert_eq!(heights, [(3, 120, 0), (23, 0, 120), (43, 118, 2)]);
        assert_eq!(chart.width, 60);
        assert_eq!(chart.bars[1].title, "2024-10-03: 1,000 uses");
        assert_eq!(chart.levels, ["1,000", "500", "0"]);
        assert_eq!(chart.days, ["2024-10-02", "2024-10-03", "2024-10-04"]);
        assert_eq!(
            chart.summary,
            "1,001 uses in 3 days. Busiest day: 2024-10-03, 1,000 uses."
        );
        let numbers = [(today, "1".to_owned()), (today.before(1), "1,000".to_owned())];
        assert_eq!(chart.numbers, numbers);

        let none = Chart::new(&BTreeMap::new(), today, 30, TEXTS);
        assert!(none.bars.iter().all(|bar| bar.height == 0) && none.numbers.is_empty());
        assert_eq!(none.summary, "No uses in 30 days.");
    }

    #[test]
    fn the_axis_ends_at_a_round_number() {
        for (max, top) in [
            (0, 2),
            (1, 2),
            (3, 4),
            (10, 10),
            (11, 20),
            (61, 80),
            (100, 100),
            (101, 200),
            (999, 1000),
        ] {
            assert_eq!(round_up(max), top, "{max}");
        }
        assert!(round_up(u64::MAX) > 0);
    }
}
