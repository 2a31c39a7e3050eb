//! Lists: keyset pages with an opaque cursor, and query parameters that say what is wrong with them.
use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::Problem;
use crate::input::FieldError;

const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 100;

/// One page of a list.
#[derive(Serialize, ToSchema)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// For `?cursor=`; null at the end.
    #[schema(example = json!(null))]
    pub next_cursor: Option<String>,
}

/// The parameters of a list that has no filters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// 1 to 100, 50 if not given.
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageParams {
    pub fn window(&self) -> Result<Window, Problem> {
        Window::parse(self.limit, self.cursor.as_deref())
    }
}

/// Where a page starts and how long it is.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub after: Option<Uuid>,
    limit: u16,
}

impl Window {
    pub fn parse(limit: Option<u16>, cursor: Option<&str>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(invalid_parameter("limit", "must be a number from 1 to 100"));
        }
        let after = cursor
            .map(|cursor| decode(cursor).ok_or_else(|| invalid_parameter("cursor", "is not one that this list gave")))
            .transpose()?;
        Ok(Self { after, limit })
    }

    /// How many the page holds.
    #[must_use]
    pub fn limit(self) -> usize {
        usize::from(self.limit)
    }

    /// One more than the page holds, to see whether it is the last.
    #[must_use]
    pub fn fetch(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page of `rows`, of which there may be one more than fits.
    #[must_use]
    pub fn page<R, T>(self, mut rows: Vec<R>, id: impl Fn(&R) -> Uuid, body: impl Fn(R) -> T) -> Page<T> {
        let limit = usize::from(self.limit);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = has_more.then(|| rows.last().map(|row| encode(id(row)))).flatten();
        Page {
            data: rows.into_iter().map(body).collect(),
            next_cursor,
        }
    }
}

#[must_use]
pub fn encode(id: Uuid) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(id.as_bytes())
}

fn decode(cursor: &str) -> Option<Uuid> {
    Uuid::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

#[must_use]
pub fn invalid_parameter(name: &str, detail: impl ToString) -> Problem {
    Problem::invalid(vec![FieldError::new(format!("?{name}"), detail)])
}

/// The query, strictly: a parameter that is not known is an error, not ignored.
pub struct Params<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Params<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
        let deserializer = serde_urlencoded::Deserializer::new(pairs);
        let parsed = serde_path_to_error::deserialize(deserializer)
            .map(Self)
            .map_err(|error| match error.path().to_string() {
                path if path == "." => invalid_parameter("", error.into_inner()),
                path => invalid_parameter(&path, error.into_inner()),
            });
        ready(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_whether_there_is_another() {
        let window = Window::parse(Some(2), None).expect("a window");
        let ids: Vec<Uuid> = (0..3).map(|_| Uuid::now_v7()).collect();
        let page = window.page(ids.clone(), |id| *id, |id| id);
        assert_eq!(page.data, ids[..2]);
        let next = Window::parse(Some(2), page.next_cursor.as_deref()).expect("its own cursor");
        assert_eq!(next.after, Some(ids[1]));
        assert_eq!(next.page(ids[2..].to_vec(), |id| *id, |id| id).next_cursor, None);
    }

    #[test]
    fn limits_and_cursors_that_are_none_are_refused() {
        for (limit, cursor) in [
            (Some(0), None),
            (Some(101), None),
            (None, Some("")),
            (None, Some("x")),
            (None, Some("AAAA")),
        ] {
            assert!(Window::parse(limit, cursor).is_err(), "{limit:?} {cursor:?}");
        }
    }
}
