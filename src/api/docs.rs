//! Readable documentation of the API, drawn from the OpenAPI document. Nothing comes from another host.
use std::sync::OnceLock;

use actix_web::{HttpResponse, http::header};
use askama::Template;
use serde_json::Value;

use super::{openapi, problem::CODES};

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage {
    groups: Vec<Group>,
    codes: Vec<CodeRow>,
}

struct Group {
    name: String,
    description: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Parameter>,
    request: Option<String>,
    answers: Vec<Answer>,
    statuses: String,
}

struct Parameter {
    name: String,
    place: String,
    required: bool,
    description: String,
}

struct Answer {
    status: String,
    example: String,
}

struct CodeRow {
    code: &'static str,
    status: u16,
    title: &'static str,
}

/// `GET /docs`
pub async fn page() -> HttpResponse {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        let document = serde_json::from_str(openapi::json()).unwrap_or_default();
        let codes = CODES
            .iter()
            .map(|(code, status, title)| CodeRow {
                code,
                status: status.as_u16(),
                title,
            })
            .collect();
        DocsPage {
            groups: groups(&document),
            codes,
        }
        .render()
        .unwrap_or_default()
    });
    html(page)
}

fn html(page: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .body(page)
}

fn groups(document: &Value) -> Vec<Group> {
    let operations: Vec<(String, Operation)> = entries(&document["paths"])
        .flat_map(|(path, item)| {
            entries(item).map(move |(method, operation)| (text(&operation["tags"][0]), parse(path, method, operation)))
        })
        .collect();
    let tags = document["tags"].as_array().cloned().unwrap_or_default();
    let mut remaining = operations;
    tags.iter()
        .map(|tag| {
            let name = text(&tag["name"]);
            let (own, others) = remaining.drain(..).partition(|(of, _)| *of == name);
            remaining = others;
            let own: Vec<(String, Operation)> = own;
            Group {
                description: text(&tag["description"]),
                operations: own.into_iter().map(|(_, operation)| operation).collect(),
                name,
            }
        })
        .collect()
}

fn parse(path: &str, method: &str, operation: &Value) -> Operation {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let body = &operation["requestBody"]["content"]["application/json"];
    let schema = text(&body["schema"]["$ref"]);
    let answers = entries(&operation["responses"]).filter_map(|(status, answer)| {
        let media = entries(&answer["content"]).next()?.1;
        Some(Answer {
            status: status.to_owned(),
            example: pretty(media.get("example")?),
        })
    });
    Operation {
        id: text(&operation["operationId"]),
        method: method.to_uppercase(),
        path: path.to_owned(),
        summary: text(&operation["summary"]),
        description: prose(&operation["description"]),
        parameters: parameters.map(parameter).collect(),
        request: body.get("example").map(pretty).or_else(|| schema_example(&schema)),
        answers: answers.collect(),
        statuses: entries(&operation["responses"])
            .map(|(status, _)| status)
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// The example that a schema in the components carries.
fn schema_example(reference: &str) -> Option<String> {
    let document: Value = serde_json::from_str(openapi::json()).ok()?;
    let pointer = reference.strip_prefix('#')?;
    let schema = document.pointer(pointer)?;
    schema
        .get("example")
        .or_else(|| schema.get("examples").and_then(|examples| examples.get(0)))
        .map(pretty)
}

fn parameter(parameter: &Value) -> Parameter {
    Parameter {
        name: text(&parameter["name"]),
        place: text(&parameter["in"]),
        required: parameter["required"].as_bool().unwrap_or_default(),
        description: prose(&parameter["description"]),
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Descriptions are Markdown; the page shows them as plain sentences.
fn prose(value: &Value) -> String {
    text(value).replace('`', "")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
