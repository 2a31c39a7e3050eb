//! One request of ours, and one of the library's.
use openidconnect::{HttpRequest, HttpResponse};
use url::Url;

use super::{MAX_BODY, Oidc};
use crate::outbound::{FetchError, Fetched, Get, Post};

impl Oidc {
    pub(super) async fn get(&self, url: &Url) -> Result<Fetched, FetchError> {
        let accept = [(http::header::ACCEPT, http::HeaderValue::from_static("application/json"))];
        self.outbound.fetch(&self.dns, self.ask(url, &accept)).await
    }

    /// As the library asks for it.
    pub(super) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, FetchError> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string()).map_err(|_| FetchError::Unfetchable)?;
        let headers: Vec<_> = head
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut to = self.ask(&url, &headers);
        // What is longer is cut there: one byte more tells that it was.
        to.max_body = MAX_BODY + 1;
        let post = Post { to, body: body.into() };
        let fetched = self.outbound.post(&self.dns, post).await?;
        if fetched.body.len() > MAX_BODY {
            return Err(FetchError::TooLarge(MAX_BODY));
        }
        let mut response = HttpResponse::new(fetched.body.to_vec());
        *response.status_mut() = fetched.status;
        *response.headers_mut() = fetched.headers;
        Ok(response)
    }

    fn ask<'a>(&self, url: &'a Url, headers: &'a [(http::HeaderName, http::HeaderValue)]) -> Get<'a> {
        Get {
            url,
            headers,
            max_body: MAX_BODY,
            patience: self.patience,
            roots: &[],
        }
    }
}
