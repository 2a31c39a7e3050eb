//! Requests by model family over time, as stacked bars: counts in, what a template draws out. Pure but for [`load`].
//!
//! The drawing stretches to whatever width it has, so its words stand beside it and not in it. Colours are classes, one
//! for each family, the same on every page.
mod load;
mod numbers;
mod window;

use chrono::{DateTime, Utc};

use crate::request_log::totals::{Count, Step};
pub use load::{Plots, load, of_all, of_client, of_domain};
pub use numbers::grouped;
use numbers::{short, top};
pub use window::Window;

/// The drawing's own units; it is stretched.
const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 200.0;
/// The part of a step that is left free.
const GAP: f64 = 0.18;

/// The families, from the bottom up: what the log calls each, its class, and its name.
pub const FAMILIES: [(&str, &str, &str); 7] = [
    ("iPhone", "iphone", "iPhone"),
    ("iPad", "ipad", "iPad"),
    ("Mac", "mac", "Mac"),
    ("RealityDevice", "vision", "Vision Pro"),
    ("AppleTV", "appletv", "Apple TV"),
    ("Watch", "watch", "Apple Watch"),
    // `none` and `unknown`.
    ("", "none", "Not told"),
];

/// The class and the name of a family as the log calls it.
#[must_use]
pub fn family(model_family: &str) -> (&'static str, &'static str) {
    let (_, class, name) = FAMILIES[index(model_family)];
    (class, name)
}

fn index(model_family: &str) -> usize {
    let found = FAMILIES.iter().position(|(family, ..)| *family == model_family);
    found.unwrap_or(FAMILIES.len() - 1)
}

/// A number of the drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Units(f64);

impl std::fmt::Display for Units {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

pub struct Plot {
    /// What it is, for those who don't see it.
    pub label: String,
    pub bars: Vec<Bar>,
    /// The families that asked.
    pub legend: Vec<Entry>,
    pub total: i64,
    /// The scale, from the top down.
    pub scale: [String; 3],
    /// Under the first, the middle and the last bar.
    pub times: [String; 3],
    pub step: &'static str,
}

pub struct Bar {
    pub name: String,
    /// Everything about it in one line.
    pub title: String,
    pub total: i64,
    /// In the order of the legend.
    pub counts: Vec<i64>,
    /// The whole step, and what is drawn in it.
    pub slot: (Units, Units),
    pub x: Units,
    pub width: Units,
    pub parts: Vec<Part>,
}

pub struct Part {
    pub class: &'static str,
    pub y: Units,
    pub height: Units,
}

pub struct Entry {
    pub class: &'static str,
    pub name: &'static str,
    pub count: i64,
}

impl Plot {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// Counts outside of the window are left out.
#[must_use]
pub fn draw(window: Window, counts: &[Count]) -> Plot {
    let steps = window.steps();
    let mut by_step = vec![[0_i64; FAMILIES.len()]; steps.len()];
    for count in counts {
        if let Ok(step) = steps.binary_search(&count.at) {
            let sum = &mut by_step[step][index(&count.model_family)];
            *sum = sum.saturating_add(count.count.max(0));
        }
    }
    let sum = |counts: &[i64]| counts.iter().fold(0_i64, |sum, count| sum.saturating_add(*count));
    let by_family = |family: usize| by_step.iter().fold(0_i64, |sum, step| sum.saturating_add(step[family]));
    let shown: Vec<usize> = (0..FAMILIES.len()).filter(|family| by_family(*family) > 0).collect();
    let legend: Vec<_> = shown
        .iter()
        .map(|family| Entry {
            class: FAMILIES[*family].1,
            name: FAMILIES[*family].2,
            count: by_family(*family),
        })
        .collect();
    let total = sum(&legend.iter().map(|entry| entry.count).collect::<Vec<_>>());
    let top = top(by_step.iter().map(|step| sum(step)).max().unwrap_or_default());
    let names: Vec<_> = steps.iter().map(|at| name(*at, window.step)).collect();
    let width = WIDTH / number(steps.len());
    let bars = by_step.iter().zip(&names).enumerate().map(|(place, (counts, name))| {
        let left = width * number(place);
        Bar {
            title: title(name, sum(counts), &shown, counts),
            name: name.clone(),
            total: sum(counts),
            counts: shown.iter().map(|family| counts[*family]).collect(),
            slot: (Units(left), Units(width)),
            x: Units(left + width * GAP / 2.0),
            width: Units(width * (1.0 - GAP)),
            parts: parts(counts, top),
        }
    });
    let step = match window.step {
        Step::Hour => "hour",
        Step::Day => "day",
    };
    let (first, last) = (&names[0], &names[names.len() - 1]);
    Plot {
        label: format!(
            "Requests per {step} by model family, {first} to {last}: {} in all",
            grouped(total)
        ),
        bars: bars.collect(),
        legend,
        total,
        scale: [short(top), short(top / 2), short(0)],
        times: [first.clone(), names[names.len() / 2].clone(), last.clone()],
        step,
    }
}

/// From the bottom up. What is there is seen, however little of the whole it is.
fn parts(counts: &[i64], top: i64) -> Vec<Part> {
    let mut y = HEIGHT;
    let mut parts = Vec::new();
    for (count, (_, class, _)) in counts.iter().zip(FAMILIES).filter(|(count, _)| **count > 0) {
        let height = (fraction(*count, top) * HEIGHT).clamp(1.5, y.max(1.5));
        y = (y - height).max(0.0);
        // A line of the paper between two colours tells them apart for those who see neither.
        let gap = if height > 4.0 { 1.0 } else { 0.0 };
        parts.push(Part {
            class,
            y: Units(y + gap),
            height: Units(height - gap),
        });
    }
    parts
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a drawing has fewer points than a number has digits"
)]
fn fraction(count: i64, top: i64) -> f64 {
    count as f64 / top as f64
}

#[expect(clippy::cast_precision_loss, reason = "there are few bars")]
fn number(count: usize) -> f64 {
    count as f64
}

fn name(at: DateTime<Utc>, step: Step) -> String {
    let format = match step {
        Step::Hour => "%-d %b, %H:00",
        Step::Day => "%-d %b",
    };
    at.format(format).to_string()
}

fn title(name: &str, total: i64, shown: &[usize], counts: &[i64]) -> String {
    let asked = shown.iter().filter(|family| counts[**family] > 0);
    let families: Vec<_> = asked
        .map(|family| format!("{} {}", FAMILIES[*family].2, grouped(counts[*family])))
        .collect();
    let requests = if total == 1 { "request" } else { "requests" };
    match families.is_empty() {
        true => format!("{name}: none"),
        false => format!("{name}: {} {requests}: {}", grouped(total), families.join(", ")),
    }
}

#[cfg(test)]
mod tests;
