//! What a vendor asks a person for, and the parsing of all that they give.

use super::kinds::{Kind, Parsed, ValueError};
use serde_json::{Map, Value};

#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// All parameters of one vendor, parsed.
pub(super) struct Values(Vec<(&'static str, Parsed)>);

impl Values {
    pub fn parse(
        vendor: &str,
        known: &'static [Parameter],
        given: &Map<String, Value>,
    ) -> Result<Self, Vec<ParameterError>> {
        let mut values = Vec::new();
        let mut errors = Vec::new();
        for parameter in known {
            match parameter.take(given) {
                Ok(Some(parsed)) => values.push((parameter.name, parsed)),
                Ok(None) => {}
                Err(error) => errors.push(ParameterError::new(parameter.name, &error)),
            }
        }
        let is_unknown = |name: &&String| known.iter().all(|parameter| parameter.name != **name);
        for name in given.keys().filter(is_unknown) {
            let names: Vec<_> = known.iter().map(|parameter| parameter.name).collect();
            let error = ValueError::Unknown {
                vendor: vendor.to_owned(),
                known: names.join(", "),
            };
            errors.push(ParameterError::new(name, &error));
        }
        if errors.is_empty() {
            Ok(Self(values))
        } else {
            Err(errors)
        }
    }

    pub fn in_url(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, parsed)| parsed.in_url.as_str())
    }

    pub fn into_stored(self) -> Map<String, Value> {
        self.0
            .into_iter()
            .map(|(name, parsed)| (name.to_owned(), Value::String(parsed.stored)))
            .collect()
    }
}

impl Parameter {
    fn take(&self, given: &Map<String, Value>) -> Result<Option<Parsed>, ValueError> {
        match (given.get(self.name), self.kind.default()) {
            (Some(Value::String(text)), _) => self.kind.parse(text).map(Some),
            (Some(other), _) => Err(ValueError::NotAString {
                found: json_type(other),
                form: self.kind.form(),
            }),
            (None, Some(default)) => self.kind.parse(default).map(Some),
            (None, None) if self.required => Err(ValueError::Missing(self.kind.form())),
            (None, None) => Ok(None),
        }
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// What is wrong with one parameter, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {detail}")]
pub struct ParameterError {
    /// Its name; empty when the enrollment itself is wrong.
    pub parameter: String,
    pub detail: String,
}

impl ParameterError {
    fn new(parameter: &str, error: &ValueError) -> Self {
        Self {
            parameter: parameter.to_owned(),
            detail: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_of_another_json_type_is_refused_by_its_name() {
        let values = [
            (json!(null), "null"),
            (json!(true), "a boolean"),
            (json!(7), "a number"),
            (json!([]), "an array"),
            (json!({}), "an object"),
        ];
        for (value, name) in values {
            let given = Map::from_iter([("host".to_owned(), value)]);
            let errors = Values::parse("Fleet", HOST, &given).err().unwrap();
            assert!(
                errors[0].detail.starts_with(&format!("This is {name}. Give a host")),
                "{errors:?}"
            );
        }
    }

    #[test]
    fn a_missing_and_an_unknown_parameter_are_both_named() {
        let given = Map::from_iter([("hots".to_owned(), json!("mdm.contoso.com"))]);
        let errors = Values::parse("Fleet", HOST, &given).err().unwrap();
        assert_eq!(
            errors[0].to_string(),
            "host: This is required. Give a host such as mdm.example.com or mdm.example.com:8443."
        );
        assert_eq!(
            errors[1].to_string(),
            "hots: Fleet has no parameter of this name. It knows host."
        );
    }

    const HOST: &[Parameter] = &[Parameter {
        name: "host",
        kind: Kind::Host,
        required: true,
    }];
}
