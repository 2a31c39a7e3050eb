//! JSON as it stands, with the members that an object has twice and in the order in which they come: what a
//! person must be told is lost in a map. Pure.
use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
    /// A number, a bool or null.
    Other(&'static str),
}

impl Json {
    /// The last member of this name: most readers take that one.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.members()
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// A member whose name differs from `name` in its case only, or in spaces around it.
    pub fn nearly(&self, name: &str) -> Option<&str> {
        let is_near = |key: &&str| *key != name && key.trim().eq_ignore_ascii_case(name);
        self.members().iter().map(|(key, _)| key.as_str()).find(is_near)
    }

    /// A name that stands twice.
    pub fn doubled(&self) -> Option<&str> {
        let members = self.members();
        let is_doubled = |at: usize, key: &str| members.iter().take(at).any(|(before, _)| before == key);
        // Few documents have more members than two.
        let looked_at = members.iter().take(64).enumerate();
        looked_at
            .map(|(at, (key, _))| (at, key.as_str()))
            .find(|(at, key)| is_doubled(*at, key))
            .map(|(_, key)| key)
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
            Self::Other(kind) => kind,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other("true or false"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = members.next_entry()? {
            all.push(member);
        }
        Ok(Json::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stands_twice_or_nearly_is_found() {
        let json: Json = serde_json::from_str(r#"{"a":1,"servers ":[],"a":"2","x":null}"#).unwrap();
        assert_eq!(json.doubled(), Some("a"));
        assert_eq!(json.member("a"), Some(&Json::Text("2".to_owned())));
        assert_eq!(json.nearly("Servers"), Some("servers "));
        assert_eq!(json.nearly("a"), None);
        assert_eq!(json.member("x").map(Json::kind), Some("null"));
    }

    #[test]
    fn depth_is_bounded() {
        assert!(serde_json::from_str::<Json>(&"[".repeat(60_000)).is_err());
        assert!(serde_json::from_str::<Json>(&r#"{"a":"#.repeat(10_000)).is_err());
    }
}
