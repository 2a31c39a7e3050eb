//! What an account asks its CA: one request each, with the names of RFC 8555 §7.4 and §7.5.
use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_acme::acme::{Account, Auth, ChallengeType, Identifier, Order, OrderStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use super::{
    Ca, CaError, Problem, address, chain,
    exchange::{IfBroken, Question},
    jws::Signer,
    problem,
    reply::Reply,
};

/// RFC 8555 §7.1.2.1 lets a CA cut the list into pages.
const PAGES: usize = 100;
const ORDERS: usize = 5_000;
/// How many of the latest are looked at for one.
const LOOKED_AT: usize = 50;
/// Of a challenge: RFC 8555 §8.1 wants 22 characters at least.
const TOKEN: usize = 256;

/// An account at a CA, and the key that it is known by.
pub struct Session<'a> {
    pub(super) ca: &'a Ca,
    pub(super) account: Account,
}

pub struct NewOrder<'a> {
    pub hostname: &'a str,
    pub profile: Option<&'a str>,
    /// The [`certificate_id`](super::certificate_id) of the one that this one is to follow (RFC 9773 §5).
    pub replaces: Option<&'a str>,
}

/// An order and where it is from now on.
#[derive(Debug)]
pub struct Placed {
    pub url: String,
    pub order: Order,
}

/// What the CA says of a thing now, and when it would like to be asked again.
#[derive(Debug)]
pub struct Polled<T> {
    pub value: T,
    pub retry_after: Option<Duration>,
}

#[derive(Debug)]
pub struct Authorization {
    pub auth: Auth,
    /// What is wrong with each of `auth.challenges`, in their order.
    pub problems: Vec<Option<Problem>>,
}

impl Authorization {
    /// Why the validation failed.
    pub fn problem(&self) -> Option<&Problem> {
        self.problems.iter().flatten().next()
    }
}

impl Session<'_> {
    /// The library's, which makes the answers to challenges (`http_01`, `tls_alpn_01`).
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Never asked twice: if the answer is lost, [`Self::unfinished`] tells whether there is one.
    pub async fn new_order(&self, new: &NewOrder<'_>) -> Result<Placed, CaError> {
        let directory = self.ca.directory().await?;
        if new.profile.is_some() && directory.offers.profiles.is_empty() {
            return Err(CaError::NotOffered("profiles"));
        }
        let order = OrderRequest {
            identifiers: [Identifier::Dns(new.hostname.to_owned())],
            profile: new.profile,
            // A hint that a CA without it need not understand.
            replaces: new.replaces.filter(|_| directory.offers.renewal_info),
        };
        let payload = serde_json::to_string(&order).expect("texts can be written as JSON");
        let turn = self.ca.turn_to_place().await;
        let reply = self.post(&directory.new_order, &payload, IfBroken::Fail).await;
        drop(turn);
        let reply = self.ca.doubted(reply).await?;
        Ok(Placed {
            url: reply.location()?.into(),
            order: order_of(&reply)?,
        })
    }

    pub async fn order(&self, url: &str) -> Result<Polled<Order>, CaError> {
        let reply = self.read(&address::parse(url)?).await?;
        Ok(reply.polled(order_of(&reply)?))
    }

    pub async fn authorization(&self, url: &str) -> Result<Polled<Authorization>, CaError> {
        let reply = self.read(&address::parse(url)?).await?;
        Ok(reply.polled(authorization_of(&reply)?))
    }

    /// Tells the CA to look. If the answer is lost, the authorization tells whether it does.
    pub async fn challenge(&self, url: &str) -> Result<(), CaError> {
        self.post(&address::parse(url)?, "{}", IfBroken::Fail).await?;
        Ok(())
    }

    /// `url` is the order's `finalize`. If the answer is lost, the order tells whether it was.
    pub async fn finalize(&self, url: &str, csr_der: &[u8]) -> Result<Polled<Order>, CaError> {
        let payload = json!({ "csr": URL_SAFE_NO_PAD.encode(csr_der) }).to_string();
        let reply = self.post(&address::parse(url)?, &payload, IfBroken::Fail).await?;
        Ok(reply.polled(order_of(&reply)?))
    }

    /// The chain as DER, the leaf first.
    pub async fn certificate(&self, url: &str) -> Result<Vec<Vec<u8>>, CaError> {
        chain::read(&self.read(&address::parse(url)?).await?.body)
    }

    /// Where the account's orders are, empty if the CA keeps no list (Let's Encrypt does not).
    pub async fn orders(&self) -> Result<Vec<String>, CaError> {
        let account = self.read(&address::parse(&self.account.kid)?).await?;
        let AccountObject { orders: Some(first) } = account.json("the account")? else {
            return Ok(Vec::new());
        };
        let (mut next, mut orders) = (Some(address::parse(&first)?), Vec::new());
        for _ in 0..PAGES {
            let Some(page) = next.take() else { break };
            let reply = match self.read(&page).await {
                // It says where the list would be.
                Err(CaError::Refused(problem)) if matches!(problem.status, 404 | 405 | 501) => break,
                reply => reply?,
            };
            let page: OrdersList = reply.json("the list of orders")?;
            orders.extend(page.orders);
            next = reply.next().transpose()?;
        }
        orders.truncate(ORDERS);
        Ok(orders)
    }

    /// The order for `hostname` that was placed and not finalized, of those at `urls`: what became of a
    /// [`Self::new_order`] whose answer was lost.
    pub async fn unfinished(&self, hostname: &str, urls: &[String]) -> Result<Option<Placed>, CaError> {
        for url in urls.iter().rev().take(LOOKED_AT) {
            let reply = match self.read(&address::parse(url)?).await {
                // It is listed, and gone.
                Err(CaError::Refused(problem)) if problem.status == 404 => continue,
                reply => reply?,
            };
            let order = order_of(&reply)?;
            let Identifiers { identifiers } = reply.json("the order")?;
            let is_for_it = matches!(identifiers.as_slice(), [Identifier::Dns(name)] if name == hostname);
            if is_for_it && matches!(order.status, OrderStatus::Pending | OrderStatus::Ready) {
                let url = url.clone();
                return Ok(Some(Placed { url, order }));
            }
        }
        Ok(None)
    }

    /// Afterwards it is revoked, whether by this or before. `reason` is a code of RFC 5280 §5.3.1.
    pub async fn revoke(&self, certificate_der: &[u8], reason: Option<u8>) -> Result<(), CaError> {
        let directory = self.ca.directory().await?;
        let url = directory.revoke.as_ref().ok_or(CaError::NotOffered("revocation"))?;
        let mut payload = json!({ "certificate": URL_SAFE_NO_PAD.encode(certificate_der) });
        if let Some(reason) = reason {
            payload["reason"] = reason.into();
        }
        let reply = self.post(url, &payload.to_string(), IfBroken::AskAgain).await;
        match self.ca.doubted(reply).await {
            Err(CaError::Refused(problem)) if problem.kind == "alreadyRevoked" => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// POST-as-GET (RFC 8555 §6.3).
    async fn read(&self, url: &Url) -> Result<Reply, CaError> {
        self.post(url, "", IfBroken::AskAgain).await
    }

    async fn post(&self, url: &Url, payload: &str, if_broken: IfBroken) -> Result<Reply, CaError> {
        let signer = Signer::Account {
            key: &self.account.key_pair,
            url: &self.account.kid,
        };
        let question = Question {
            url,
            payload,
            signer,
            if_broken,
        };
        self.ca.post(&question).await
    }
}

#[derive(Serialize)]
struct OrderRequest<'a> {
    identifiers: [Identifier; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<&'a str>,
}

#[derive(Deserialize)]
struct AccountObject {
    orders: Option<String>,
}

#[derive(Deserialize)]
struct OrdersList {
    orders: Vec<String>,
}

/// What the library leaves out of an order.
#[derive(Deserialize)]
struct Identifiers {
    identifiers: Vec<Identifier>,
}

/// What the library leaves out of a challenge.
#[derive(Deserialize)]
struct Errors {
    challenges: Vec<WithError>,
}

#[derive(Deserialize)]
struct WithError {
    error: Option<problem::Document>,
}

impl Reply {
    fn polled<T>(&self, value: T) -> Polled<T> {
        Polled {
            value,
            retry_after: self.retry_after(),
        }
    }
}

fn order_of(reply: &Reply) -> Result<Order, CaError> {
    let order: Order = reply.json("the order")?;
    let certificate = match &order.status {
        OrderStatus::Valid { certificate } => Some(certificate),
        _ => None,
    };
    let addresses = order.authorizations.iter().chain([&order.finalize]).chain(certificate);
    addresses
        .into_iter()
        .try_for_each(|url| address::parse(url).map(|_| ()))?;
    Ok(order)
}

fn authorization_of(reply: &Reply) -> Result<Authorization, CaError> {
    let auth: Auth = reply.json("the authorization")?;
    let Errors { challenges } = reply.json("the authorization")?;
    for challenge in &auth.challenges {
        address::parse(&challenge.url)?;
        // It becomes part of a path that we answer.
        if challenge.typ != ChallengeType::Unknown && !is_token(&challenge.token) {
            return Err(CaError::malformed("a challenge whose token is not base64url"));
        }
    }
    let problem = |challenge: WithError| challenge.error.map(|document| document.read(0));
    Ok(Authorization {
        auth,
        problems: challenges.into_iter().map(problem).collect(),
    })
}

fn is_token(text: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=TOKEN).contains(&text.len()) && text.bytes().all(is_base64url)
}
