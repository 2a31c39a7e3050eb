//! What the CA does for accounts, with the names of RFC 8555 §7.
use chrono::Duration;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Answer, Shared, jws,
    state::{Account, Authorization, Kind, State, Validated},
    validation,
};

pub type Done = Result<Answer, Answer>;

/// For whom something is done, and with what.
pub struct Asked<'a> {
    pub base: &'a str,
    pub account: usize,
    pub id: &'a str,
    pub payload: &'a Value,
}

pub async fn answer(shared: &Shared, (kind, id): (Kind, &str), checked: jws::Checked) -> Done {
    let Some(account) = checked.account else {
        return match kind {
            Kind::NewAccount => new_account(&mut shared.state(), &shared.base, &checked),
            _ => Err(problem(400, "malformed", "signed by no account")),
        };
    };
    let asked = Asked {
        base: &shared.base,
        account,
        id,
        payload: &checked.payload,
    };
    match kind {
        Kind::Challenge => {
            let validation = asked.challenge(&shared.state())?;
            let outcome = validation::outcome(shared, validation).await;
            asked.validated(&mut shared.state(), outcome)
        }
        Kind::NewOrder => asked.new_order(&mut shared.state()),
        Kind::Finalize => asked.finalize(&mut shared.state()),
        Kind::Revoke => asked.revoke(&mut shared.state()),
        _ if !asked.payload.is_null() => Err(problem(400, "malformed", "POST-as-GET only")),
        Kind::Account => asked.account(&shared.state()),
        Kind::Orders => asked.orders(&shared.state()),
        Kind::Order => asked.order(&shared.state()),
        Kind::Authorization => asked.authorization(&shared.state()),
        Kind::Certificate => asked.certificate(&shared.state()),
        _ => Err(problem(400, "malformed", "signed by an account")),
    }
}

fn new_account(state: &mut State, base: &str, checked: &jws::Checked) -> Done {
    let found = state.accounts.iter().position(|account| account.key == checked.key);
    let payload = &checked.payload;
    if found.is_none() {
        if payload["onlyReturnExisting"] == true {
            return Err(problem(400, "accountDoesNotExist", "no account has this key"));
        }
        if payload["termsOfServiceAgreed"] != true {
            return Err(problem(403, "userActionRequired", "agree to the terms"));
        }
        let is_mail = |contact: &Value| contact.as_str().is_some_and(|contact| contact.starts_with("mailto:"));
        if payload["contact"]
            .as_array()
            .is_some_and(|contacts| !contacts.iter().all(is_mail))
        {
            return Err(problem(400, "unsupportedContact", "only mailto: is supported"));
        }
        if let Some(expected) = &state.behaviour.eab {
            let binding = &payload["externalAccountBinding"];
            if binding.is_null() {
                return Err(problem(
                    400,
                    "externalAccountRequired",
                    "say which account it belongs to",
                ));
            }
            if !jws::is_bound(binding, expected, &checked.jwk, &format!("{base}/new-account")) {
                return Err(problem(401, "unauthorized", "the binding does not hold"));
            }
        }
        state.accounts.push(Account {
            key: checked.key.clone(),
            contact: payload["contact"].clone(),
        });
    }
    let number = found.unwrap_or(state.accounts.len() - 1);
    let status = if found.is_some() { 200 } else { 201 };
    let account = json!({"status": "valid", "contact": state.accounts[number].contact});
    Ok(Answer::json(status, &account).with("Location", format!("{base}/account/{number}")))
}

impl Asked<'_> {
    fn account(&self, state: &State) -> Done {
        if self.number()? != self.account {
            return Err(problem(403, "unauthorized", "another's account"));
        }
        let mut account = json!({"status": "valid", "contact": state.accounts[self.account].contact});
        if !state.behaviour.keeps_no_list {
            account["orders"] = self.at("orders", self.account);
        }
        Ok(Answer::json(200, &account))
    }

    fn orders(&self, state: &State) -> Done {
        if self.number()? != self.account {
            return Err(problem(403, "unauthorized", "another's orders"));
        }
        let orders = state.orders.iter().filter(|(_, order)| order.account == self.account);
        let orders: Vec<_> = orders.map(|(number, _)| self.at("order", *number)).collect();
        Ok(Answer::json(200, &json!({ "orders": orders })))
    }

    pub fn authorization_for(&self, state: &mut State, hostname: &str) -> usize {
        let is_reusable = |authorization: &Authorization| {
            authorization.account == self.account
                && authorization.hostname == hostname
                && matches!(authorization.validation, Validated::Valid(at) if at <= crate::clock::now())
        };
        let reusable = state.authorizations.iter().position(is_reusable);
        if let Some(reusable) = reusable.filter(|_| state.behaviour.reuses_authorizations) {
            return reusable;
        }
        state.authorizations.push(Authorization {
            account: self.account,
            hostname: hostname.to_owned(),
            token: Uuid::now_v7().simple().to_string(),
            validation: Validated::NotAsked,
        });
        state.authorizations.len() - 1
    }

    fn authorization(&self, state: &State) -> Done {
        let (number, authorization) = self.own_authorization(state)?;
        let status = authorization.status();
        let mut shown = Answer::json(
            200,
            &json!({
                "status": match status { "processing" => "pending", other => other },
                "identifier": {"type": "dns", "value": authorization.hostname},
                "expires": (crate::clock::now() + Duration::days(7)).to_rfc3339(),
                "challenges": [
                    self.challenge_object(number, authorization, "dns-01"),
                    self.challenge_object(number, authorization, "http-01"),
                    self.challenge_object(number, authorization, "tls-alpn-01"),
                ],
            }),
        );
        if let (Some(seconds), "pending" | "processing") = (state.behaviour.retry_after, status) {
            shown = shown.with("Retry-After", seconds.to_string());
        }
        Ok(shown)
    }

    fn challenge_object(&self, number: usize, authorization: &Authorization, kind: &str) -> Value {
        let url = format!("{}/challenge/{number}-{kind}", self.base);
        let status = authorization.status();
        let mut challenge = json!({"type": kind, "url": url, "token": authorization.token, "status": status});
        if let (Validated::Invalid(_, kind, detail), "invalid") = (&authorization.validation, status) {
            challenge["error"] =
                json!({"type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": 400});
        }
        challenge
    }

    fn challenge(&self, state: &State) -> Result<validation::Wanted, Answer> {
        let (number, kind) = self.id.split_once('-').ok_or_else(not_found)?;
        let authorization = number
            .parse()
            .ok()
            .and_then(|number: usize| state.authorizations.get(number));
        let authorization = authorization
            .filter(|of| of.account == self.account)
            .ok_or_else(not_found)?;
        if authorization.validation != Validated::NotAsked {
            return Err(problem(400, "malformed", "the challenge is no longer pending"));
        }
        Ok(validation::Wanted {
            hostname: authorization.hostname.clone(),
            token: authorization.token.clone(),
            kind: kind.to_owned(),
            key: state.accounts[self.account].key.clone(),
        })
    }

    fn validated(&self, state: &mut State, outcome: Validated) -> Done {
        let (number, kind) = self.id.split_once('-').ok_or_else(not_found)?;
        let number: usize = number.parse().map_err(|_| not_found())?;
        state.authorizations[number].validation = outcome;
        Ok(Answer::json(
            200,
            &self.challenge_object(number, &state.authorizations[number], kind),
        ))
    }

    fn own_authorization<'s>(&self, state: &'s State) -> Result<(usize, &'s Authorization), Answer> {
        let number = self.number()?;
        let found = state.authorizations.get(number).filter(|of| of.account == self.account);
        found.map(|found| (number, found)).ok_or_else(not_found)
    }

    pub fn number(&self) -> Result<usize, Answer> {
        self.id.parse().map_err(|_| not_found())
    }

    pub fn at(&self, what: &str, number: usize) -> Value {
        format!("{}/{what}/{number}", self.base).into()
    }
}

pub fn not_found() -> Answer {
    problem(404, "malformed", "there is no such thing")
}

pub fn problem(status: u16, kind: &str, detail: &str) -> Answer {
    Answer::problem(status, kind, detail)
}
