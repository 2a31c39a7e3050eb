//! A report as people read it on a terminal: a line for each step, and below it what is to be done.
use std::io::{Write, stdout};

use rustix::termios::tcgetwinsize;

use crate::probe::{Code, Report, Stage, Step};

const MARK: usize = 2;
const LABEL: usize = 14;
const WIDEST: usize = 110;
const NARROWEST: usize = 60;
const WIDTH: usize = 80;

pub struct Paper {
    has_colour: bool,
    width: usize,
}

#[derive(Clone, Copy)]
enum Ink {
    Green,
    Yellow,
    Red,
    Bold,
    Faint,
}

impl Paper {
    pub fn new(has_colour: bool) -> Self {
        let columns = tcgetwinsize(stdout()).map_or(WIDTH, |size| usize::from(size.ws_col));
        // A terminal that does not say has no columns.
        let width = if columns == 0 {
            WIDTH
        } else {
            columns.clamp(NARROWEST, WIDEST)
        };
        Self { has_colour, width }
    }

    pub fn step(&self, step: &Step) {
        let (mark, ink) = match step {
            Step { ok: true, .. } => ("✓", Ink::Green),
            Step {
                stops_devices: true, ..
            } => ("✗", Ink::Red),
            Step { .. } => ("!", Ink::Yellow),
        };
        let code = step.code.map(|code| format!(" [{}]", name(code))).unwrap_or_default();
        let label = format!("{:<LABEL$}", label(step.step));
        self.indented(
            &format!("{} {}", self.inked(ink, mark), self.inked(Ink::Bold, &label)),
            &format!("{}{code}", step.detail),
        );
        for (title, text) in [
            ("Expected:", &step.expected),
            ("Remedy:", &step.remedy),
            ("Matters for:", &step.devices),
        ] {
            if let Some(text) = text {
                let title = self.inked(Ink::Faint, &format!("{title:<LABEL$}"));
                self.indented(&format!("{}{title}", " ".repeat(MARK)), text);
            }
        }
    }

    pub fn verdict(&self, report: &Report) {
        let stopping = report.steps.iter().find(|step| step.stops_devices);
        let has_remarks = report.steps.iter().any(|step| !step.ok);
        let host = &report.hostname;
        let (ink, sentence) = match stopping {
            None if report.ok && has_remarks => (
                Ink::Yellow,
                format!("A current device gets its enrollment address from {host}. What is marked ! is worth mending."),
            ),
            None if report.ok => (Ink::Green, format!("A device gets its enrollment address from {host}.")),
            Some(step) if step.code == Some(Code::Undetermined) => (
                Ink::Red,
                format!(
                    "Whether a device gets its enrollment address from {host} can't be told (see {}).",
                    label(step.step)
                ),
            ),
            Some(step) if step.code == Some(Code::Rejected) => {
                (Ink::Red, format!("{host} answers, and turns this user or device away."))
            }
            Some(step) => (
                Ink::Red,
                format!(
                    "A device does not get its enrollment address from {host} (see {}).",
                    label(step.step)
                ),
            ),
            None => (
                Ink::Red,
                format!("A device does not get its enrollment address from {host}."),
            ),
        };
        say("");
        for line in wrapped(&sentence, self.width) {
            say(&self.inked(ink, &line));
        }
        for line in report.fallback.iter().flat_map(|text| wrapped(text, self.width)) {
            say(&line);
        }
    }

    /// `head` stands once, `text` beside and below it.
    fn indented(&self, head: &str, text: &str) {
        let indent = MARK + LABEL;
        let mut head = head.to_owned();
        for line in wrapped(text, self.width - indent) {
            say(&format!("{head}{line}"));
            head = " ".repeat(indent);
        }
    }

    fn inked(&self, ink: Ink, text: &str) -> String {
        let code = match ink {
            _ if !self.has_colour => return text.to_owned(),
            Ink::Green => 32,
            Ink::Yellow => 33,
            Ink::Red => 31,
            Ink::Bold => 1,
            Ink::Faint => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// If it fails, whoever reads has had enough.
pub fn say(text: &str) {
    let _ = writeln!(stdout(), "{text}");
}

fn label(stage: Stage) -> &'static str {
    match stage {
        Stage::Dns => "DNS",
        Stage::Connect => "Connection",
        Stage::Tls => "TLS",
        Stage::Http => "HTTP",
        Stage::ContentType => "Content type",
        Stage::Document => "Document",
        Stage::Head => "HEAD",
        Stage::Query => "Query",
    }
}

fn name(code: Code) -> String {
    serde_json::to_value(code)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Broken between words; a word that is too long for a line has one of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_between_words() {
        assert_eq!(wrapped("a bb ccc dddddd e", 6), ["a bb", "ccc", "dddddd", "e"]);
        assert_eq!(wrapped("", 6), [""]);
        assert_eq!(wrapped("ä ö ü", 3), ["ä ö", "ü"]);
    }
}
