//! Asks a CA over HTTPS: connections are kept, nonces too, and whatever is answered has an end. Everything that is
//! answered is taken for hostile.
use std::{
    error::Error,
    time::{Duration, Instant},
};

use reqwest::{RequestBuilder, header, redirect};
use rustls::{ClientConfig, pki_types::CertificateDer};
use tokio::time::timeout;
use url::Url;

use super::{
    CaError, CaSetupError,
    jws::{self, Signer},
    nonces::Nonces,
    reply::Reply,
};
use crate::input::plain;

const CONNECT: Duration = Duration::from_secs(10);
/// One request, from the connection to the last byte of the answer.
const REQUEST: Duration = Duration::from_secs(30);
/// All that one question may take, with its nonce and each time that it is repeated: so many requests' time.
const QUESTION: u32 = 2;
/// Shorter than servers keep connections that nobody uses.
const IDLE: Duration = Duration::from_secs(15);
const PING: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 256 * 1024;
/// A CA behind several frontends may refuse a few nonces in a row, and Pebble does so on purpose.
const MAX_BAD_NONCES: u32 = 5;

const AGENT: &str = concat!("signpost/", env!("CARGO_PKG_VERSION"), " reqwest");

/// The TLS connections to one CA and its nonces.
pub struct Exchange {
    client: reqwest::Client,
    nonces: Nonces,
    patience: Duration,
}

/// One question that is signed.
pub struct Question<'a> {
    pub url: &'a Url,
    /// JSON; empty for a POST-as-GET.
    pub payload: &'a str,
    pub signer: Signer<'a>,
    pub if_broken: IfBroken,
}

/// What to do if the connection breaks while an answer is awaited: nobody can know whether the CA has acted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum IfBroken {
    /// Asking twice does no more than asking once.
    AskAgain,
    /// It could be done twice, or be refused the second time: whoever asked must see what has become of it.
    Fail,
}

/// Why there is no answer.
enum Failed {
    /// After the connection stood.
    Broken(String),
    Otherwise(CaError),
}

impl Exchange {
    /// Trusts the public authorities and those of `extra`, and asks no proxy that the environment may name.
    pub fn new(extra: &[CertificateDer<'static>]) -> Result<Self, CaSetupError> {
        // What surely was not processed (a stream refused, a connection that was being closed) the client itself
        // sends again; nothing else.
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(extra)?)
            .https_only(true)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .user_agent(AGENT)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            .build()
            .map_err(|error| CaSetupError::Client(innermost(&error)))?;
        Ok(Self {
            client,
            nonces: Nonces::default(),
            patience: REQUEST,
        })
    }

    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    pub async fn get(&self, url: &Url) -> Result<Reply, CaError> {
        self.in_time(self.read(url)).await?.refused_or_not()
    }

    /// Signs and asks, with another nonce if the CA does not take the first.
    pub async fn post(&self, new_nonce: &Url, question: &Question<'_>) -> Result<Reply, CaError> {
        self.in_time(self.post_in_time(new_nonce, question)).await
    }

    async fn post_in_time(&self, new_nonce: &Url, question: &Question<'_>) -> Result<Reply, CaError> {
        let mut nonce = self.nonce(new_nonce).await?;
        let (mut bad_nonces, mut may_repeat) = (0, question.if_broken == IfBroken::AskAgain);
        loop {
            let reply = match self.post_once(question, &nonce).await {
                Err(Failed::Broken(_)) if may_repeat => {
                    may_repeat = false;
                    nonce = self.nonce(new_nonce).await?;
                    continue;
                }
                other => other?,
            };
            let of_reply = reply.nonce();
            match reply.refused_or_not() {
                Err(CaError::Refused(problem)) if problem.kind == "badNonce" && bad_nonces < MAX_BAD_NONCES => {
                    bad_nonces += 1;
                    nonce = match of_reply {
                        Some(nonce) => nonce,
                        None => self.nonce(new_nonce).await?,
                    };
                }
                other => {
                    self.keep(of_reply);
                    return other;
                }
            }
        }
    }

    async fn in_time<T>(&self, question: impl Future<Output = Result<T, CaError>>) -> Result<T, CaError> {
        let longest = self.patience.saturating_mul(QUESTION);
        timeout(longest, question).await.unwrap_or(Err(CaError::Timeout))
    }

    async fn post_once(&self, question: &Question<'_>, nonce: &str) -> Result<Reply, Failed> {
        let body = jws::sign(question.signer, nonce, question.url.as_str(), question.payload)?;
        let request = self.client.post(question.url.clone());
        self.send(request.header(header::CONTENT_TYPE, "application/jose+json").body(body))
            .await
    }

    async fn nonce(&self, new_nonce: &Url) -> Result<String, CaError> {
        if let Some(nonce) = self.nonces.take(Instant::now()) {
            return Ok(nonce);
        }
        let reply = repeated(|| self.send(self.client.head(new_nonce.clone()))).await?;
        let nonce = reply.nonce();
        reply.refused_or_not()?;
        nonce.ok_or_else(|| CaError::malformed("there is no nonce where there should be one"))
    }

    async fn read(&self, url: &Url) -> Result<Reply, CaError> {
        let reply = repeated(|| self.send(self.client.get(url.clone()))).await?;
        self.keep(reply.nonce());
        Ok(reply)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, Failed> {
        let mut response = request.timeout(self.patience).send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(CaError::malformed(format!("more than {MAX_BODY} bytes")).into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply::new(&mut response, body))
    }

    fn keep(&self, nonce: Option<String>) {
        if let Some(nonce) = nonce {
            self.nonces.put(nonce, Instant::now());
        }
    }
}

/// A connection that is kept may be closed by the CA in the moment in which it is used.
async fn repeated<F: Future<Output = Result<Reply, Failed>>>(send: impl Fn() -> F) -> Result<Reply, CaError> {
    match send().await {
        Err(Failed::Broken(_)) => Ok(send().await?),
        other => Ok(other?),
    }
}

fn tls(extra: &[CertificateDer<'static>]) -> Result<ClientConfig, CaSetupError> {
    let mut roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    for root in extra {
        roots.add(root.clone())?;
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl From<CaError> for Failed {
    fn from(error: CaError) -> Self {
        Self::Otherwise(error)
    }
}

impl From<Failed> for CaError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Broken(why) => Self::Unreachable(why),
            Failed::Otherwise(error) => error,
        }
    }
}

impl From<reqwest::Error> for Failed {
    fn from(error: reqwest::Error) -> Self {
        let why = innermost(&error);
        let is_unreadable = sources(&error).any(|error| error.downcast_ref().is_some_and(hyper::Error::is_parse));
        match () {
            () if error.is_timeout() => Self::Otherwise(CaError::Timeout),
            () if is_unreadable => Self::Otherwise(CaError::malformed(why)),
            () if error.is_connect() => Self::Otherwise(CaError::Unreachable(why)),
            () => Self::Broken(why),
        }
    }
}

/// The cause of the causes, which says most.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let innermost = sources(error).last().map(ToString::to_string);
    plain(&innermost.unwrap_or_default(), 300)
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}
