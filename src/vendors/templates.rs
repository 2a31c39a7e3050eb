//! A vendor's description and its URL templates: filling one with parameters, and reading the parameters back
//! out of a URL. Names no vendor; those are in `catalog`.

use super::parameters::{Parameter, ParameterError, Values};
use super::{Answer, Enrollment, Evidence, MODEL_FAMILY_PLACEHOLDER};
use serde_json::{Map, Value};
use std::iter;

/// What we can say about a vendor before anybody has configured it.
#[derive(Debug)]
pub struct Description {
    pub key: &'static str,
    pub name: &'static str,
    /// What a person gets who names no enrollment.
    pub default: Template,
    pub other: Option<Template>,
    pub parameters: &'static [Parameter],
}

impl Description {
    /// One template per enrollment, the default first.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        iter::once(&self.default).chain(&self.other)
    }

    /// The default first.
    pub fn enrollments(&self) -> impl Iterator<Item = Enrollment> {
        self.templates().map(|template| template.enrollment)
    }

    pub(super) fn template(&self, enrollment: Option<Enrollment>) -> Result<&Template, ParameterError> {
        let Some(wanted) = enrollment else {
            return Ok(&self.default);
        };
        self.templates()
            .find(|template| template.enrollment == wanted)
            .ok_or_else(|| {
                let offered: Vec<_> = self.enrollments().map(Enrollment::key).collect();
                let detail = format!(
                    "No {} enrollment is known for {}. Choose {}, or paste the document that its console shows.",
                    wanted.key(),
                    self.name,
                    offered.join(" or "),
                );
                ParameterError {
                    parameter: String::new(),
                    detail,
                }
            })
    }

    /// The parameters that would make this vendor answer `enrollment` with `url`, if any would.
    pub(super) fn read(&self, enrollment: Enrollment, url: &str) -> Option<Map<String, Value>> {
        self.templates()
            .find(|template| template.enrollment == enrollment)?
            .read(self.parameters, url)
    }
}

/// How one enrollment of a vendor is answered, and how we know.
#[derive(Debug)]
pub struct Template {
    pub enrollment: Enrollment,
    pub evidence: Evidence,
    /// An address, or a citation where the text has no lasting address.
    pub source: &'static str,
    pub(super) form: Form,
    /// A URL with `{parameter}` holes.
    pub(super) pattern: &'static str,
}

#[derive(Debug)]
pub(super) enum Form {
    Document,
    Redirect,
}

impl Template {
    /// The URL with `{parameter}` where a value belongs.
    pub fn pattern(&self) -> &'static str {
        self.pattern
    }

    pub(super) fn fill(&self, values: &Values) -> Answer {
        let url = self.url(values);
        match self.form {
            Form::Document => Answer::Document {
                version: self.enrollment,
                base_url: url,
            },
            Form::Redirect => Answer::Redirect { url },
        }
    }

    fn url(&self, values: &Values) -> String {
        let mut url = String::new();
        for (index, piece) in self.pattern.split(['{', '}']).enumerate() {
            url.push_str(if is_hole(index) {
                values.in_url(piece).unwrap_or(MODEL_FAMILY_PLACEHOLDER)
            } else {
                piece
            });
        }
        url
    }

    fn read(&self, parameters: &[Parameter], url: &str) -> Option<Map<String, Value>> {
        let holes = match (self.form_is_document(), split_query(self.pattern), split_query(url)) {
            (true, (pattern, None), (path, None)) => read_in_order(pattern, path)?,
            (true, (pattern, Some(wanted)), (path, Some(given))) => {
                let mut holes = read_in_order(pattern, path)?;
                holes.extend(read_query(wanted, given)?);
                holes
            }
            _ => return None,
        };
        let mut found = Map::new();
        for (name, text) in holes {
            match parameters.iter().find(|parameter| parameter.name == name) {
                Some(parameter) => {
                    found.insert(name.to_owned(), Value::String(parameter.kind.read(text)?));
                }
                None if is_model_family(text) => {}
                None => return None,
            }
        }
        Some(found)
    }

    /// A redirect's target is never the `BaseURL` of a document.
    fn form_is_document(&self) -> bool {
        matches!(self.form, Form::Document)
    }
}

/// Splitting a pattern at its braces gives text, hole, text, hole, …, text.
fn is_hole(index: usize) -> bool {
    index % 2 == 1
}

fn split_query(url: &str) -> (&str, Option<&str>) {
    url.split_once('?')
        .map_or((url, None), |(path, query)| (path, Some(query)))
}

/// The holes of `pattern` and what stands at their places in `text`, if everything around them is equal.
fn read_in_order<'a>(pattern: &'a str, text: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut found = Vec::new();
    let mut open: Option<&str> = None;
    let mut rest = text;
    for (index, piece) in pattern.split(['{', '}']).enumerate() {
        if is_hole(index) {
            open = Some(piece);
            continue;
        }
        let (before, after) = match (open, piece) {
            (Some(_), "") => (rest, ""),
            _ => rest.split_once(piece)?,
        };
        match open.take() {
            Some(hole) => found.push((hole, before)),
            None if before.is_empty() => {}
            None => return None,
        }
        rest = after;
    }
    rest.is_empty().then_some(found)
}

/// Like [`read_in_order`], but the pairs may come in any order, as they do between the
/// console and the manual of one vendor.
fn read_query<'a>(wanted: &'a str, given: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
    let given: Vec<_> = given.split('&').collect();
    if given.len() != wanted.split('&').count() {
        return None;
    }
    let read = |pattern| given.iter().find_map(|pair| read_in_order(pattern, pair));
    wanted
        .split('&')
        .map(read)
        .collect::<Option<Vec<_>>>()
        .map(|holes| holes.concat())
}

/// A pasted document names the family it was made for; ours names the family that asks.
fn is_model_family(text: &str) -> bool {
    text == MODEL_FAMILY_PLACEHOLDER || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    use super::super::Vendor;
    use super::*;

    #[test]
    fn every_hole_of_a_pattern_is_a_parameter_or_the_model_family() {
        for vendor in Vendor::ALL {
            let description = vendor.description();
            for template in description.templates() {
                let pieces = template.pattern.split(['{', '}']).enumerate();
                for (_, hole) in pieces.filter(|(index, _)| is_hole(*index)) {
                    let known = description.parameters.iter().any(|parameter| parameter.name == hole);
                    assert!(
                        known || MODEL_FAMILY_PLACEHOLDER == format!("{{{hole}}}"),
                        "{vendor:?} {hole}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_vendor_offers_each_enrollment_once_and_says_how_it_is_known() {
        for vendor in Vendor::ALL {
            let enrollments: Vec<_> = vendor.description().enrollments().collect();
            assert!(!enrollments[1..].contains(&enrollments[0]), "{vendor:?}");
            assert!(
                vendor
                    .description()
                    .templates()
                    .all(|template| !template.source.is_empty()),
                "{vendor:?}"
            );
        }
    }

    #[test]
    fn what_surrounds_a_hole_must_be_equal_to_the_last_byte() {
        let read = |text| read_in_order("https://{host}/enroll", text);
        assert_eq!(read("https://a.example/enroll"), Some(vec![("host", "a.example")]));
        for text in [
            "",
            "https://a.example",
            "http://a.example/enroll",
            "xhttps://a.example/enroll",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("https://a.example/enroll/"), None);
        assert_eq!(read("https://a.example/enroll/enroll"), None);
    }

    #[test]
    fn a_query_matches_in_any_order_but_with_nothing_added_missing_or_doubled() {
        let read = |text| read_query("a={x}&b={y}", text);
        assert_eq!(read("a=1&b=2"), Some(vec![("x", "1"), ("y", "2")]));
        assert_eq!(read("b=2&a=1"), Some(vec![("x", "1"), ("y", "2")]));
        for text in ["", "a=1", "a=1&b=2&c=3", "a=1&a=2", "a=1&B=2", "a=1&b"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
