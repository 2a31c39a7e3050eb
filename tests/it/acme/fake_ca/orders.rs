//! Orders, and the certificates that they end in (RFC 8555 §7.4, §7.6).
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Duration;
use serde_json::json;
use signpost::certificates::acme::certificate_id;

use super::{
    Answer,
    actions::{Asked, Done, not_found, problem},
    state::{Issued, Order, State, Validated},
};

impl Asked<'_> {
    pub fn new_order(&self, state: &mut State) -> Done {
        let [identifier] = self.payload["identifiers"].as_array().map_or(&[][..], Vec::as_slice) else {
            return Err(problem(400, "malformed", "one identifier, please"));
        };
        let hostname = match (identifier["type"].as_str(), identifier["value"].as_str()) {
            (Some("dns"), Some(hostname)) => hostname.to_owned(),
            _ => return Err(problem(400, "unsupportedIdentifier", "names of DNS only")),
        };
        let text = |member: &str| self.payload[member].as_str().map(str::to_owned);
        let (profile, replaces) = (text("profile"), text("replaces"));
        if profile
            .as_ref()
            .is_some_and(|profile| !state.behaviour.profiles.contains_key(profile))
        {
            return Err(problem(400, "invalidProfile", "there is no such profile"));
        }
        if let Some(replaces) = &replaces {
            self.check_replaced(state, replaces, &hostname)?;
        }
        let authorization = self.authorization_for(state, &hostname);
        let number = state.orders.len();
        let order = Order {
            account: self.account,
            hostname,
            profile,
            replaces,
            authorization,
            finalized: None,
        };
        state.orders.insert(number, order);
        let location = self.at("order", number);
        Ok(self
            .shown(state, number, 201)
            .with("Location", location.as_str().unwrap()))
    }

    /// RFC 9773 §5.
    fn check_replaced(&self, state: &State, id: &str, hostname: &str) -> Result<(), Answer> {
        let is_it = |issued: &&Issued| issued.id == id && issued.account == self.account && issued.hostname == hostname;
        if state.issued.iter().find(is_it).is_none() {
            return Err(problem(404, "malformed", "what is to be replaced is not known"));
        }
        let mut orders = state.orders.values();
        match orders.any(|order| order.replaces.as_deref() == Some(id)) {
            true => Err(problem(409, "alreadyReplaced", "another order replaces it")),
            false => Ok(()),
        }
    }

    pub fn order(&self, state: &State) -> Done {
        let number = self.order_number(state)?;
        Ok(self.shown(state, number, 200))
    }

    pub fn finalize(&self, state: &mut State) -> Done {
        let number = self.order_number(state)?;
        let order = &state.orders[&number];
        if state.status(order) != "ready" {
            return Err(problem(403, "orderNotReady", "the order is not ready"));
        }
        let csr = self.payload["csr"]
            .as_str()
            .and_then(|csr| URL_SAFE_NO_PAD.decode(csr).ok());
        let csr = csr.ok_or_else(|| problem(400, "badCSR", "no CSR"))?;
        let behaviour = &state.behaviour;
        let life = order
            .profile
            .as_ref()
            .map_or(behaviour.lifetime, |profile| behaviour.profiles[profile]);
        let not_before = crate::clock::now() - Duration::minutes(1);
        let not_after = not_before + life;
        let signed = state.authority.sign(&csr, &order.hostname, (not_before, not_after));
        let signed = signed.map_err(|why| problem(400, "badCSR", &why))?;
        let issued = Issued {
            hostname: order.hostname.clone(),
            id: certificate_id(&signed.leaf).unwrap(),
            leaf: signed.leaf,
            profile: order.profile.clone(),
            replaces: order.replaces.clone(),
            not_before,
            not_after,
            is_revoked: false,
            account: self.account,
            pem: signed.pem,
        };
        let ready_at = crate::clock::now() + behaviour.issuance_takes;
        state.issued.push(issued);
        let certificate = state.issued.len() - 1;
        state.orders.get_mut(&number).unwrap().finalized = Some((ready_at, certificate));
        Ok(self.shown(state, number, 200))
    }

    pub fn certificate(&self, state: &State) -> Done {
        let issued = state
            .issued
            .get(self.number()?)
            .filter(|issued| issued.account == self.account);
        let issued = issued.ok_or_else(not_found)?;
        Ok(Answer {
            status: 200,
            headers: vec![("Content-Type".into(), "application/pem-certificate-chain".into())],
            body: issued.pem.clone().into(),
        })
    }

    pub fn revoke(&self, state: &mut State) -> Done {
        let leaf = self.payload["certificate"]
            .as_str()
            .and_then(|leaf| URL_SAFE_NO_PAD.decode(leaf).ok());
        let leaf = leaf.ok_or_else(|| problem(400, "malformed", "no certificate"))?;
        let issued = state
            .issued
            .iter_mut()
            .find(|issued| issued.leaf == leaf && issued.account == self.account);
        let issued = issued.ok_or_else(|| problem(403, "unauthorized", "not this account's certificate"))?;
        if self.payload["reason"]
            .as_u64()
            .is_some_and(|reason| reason > 10 || reason == 7)
        {
            return Err(problem(400, "badRevocationReason", "no such reason"));
        }
        if std::mem::replace(&mut issued.is_revoked, true) {
            return Err(problem(400, "alreadyRevoked", "it is revoked already"));
        }
        Ok(Answer {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
        })
    }

    fn shown(&self, state: &State, number: usize, status: u16) -> Answer {
        let order = &state.orders[&number];
        let now = state.status(order);
        let mut shown = json!({
            "status": now,
            "identifiers": [{"type": "dns", "value": order.hostname}],
            "authorizations": [self.at("authorization", order.authorization)],
            "finalize": self.at("finalize", number),
        });
        if let (Some((_, certificate)), "valid") = (order.finalized, now) {
            shown["certificate"] = self.at("certificate", certificate);
        }
        if let (Validated::Invalid(_, kind, detail), "invalid") =
            (&state.authorizations[order.authorization].validation, now)
        {
            shown["error"] = json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail});
        }
        let answer = Answer::json(status, &shown);
        match (state.behaviour.retry_after, now) {
            (Some(seconds), "processing") => answer.with("Retry-After", seconds.to_string()),
            _ => answer,
        }
    }

    fn order_number(&self, state: &State) -> Result<usize, Answer> {
        let number = self.number()?;
        let order = state.orders.get(&number).filter(|order| order.account == self.account);
        order.map(|_| number).ok_or_else(not_found)
    }
}
