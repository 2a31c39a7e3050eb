//! The rules of a domain while somebody edits them: as they were typed, right or wrong.
use uuid::Uuid;

use super::policy_words::ServerNames;
use crate::{
    console::form::Form,
    domains::{
        Change, Connection, Domain,
        policy::{Action, Family, Policy, Rule, When},
    },
    input::WebUrl,
};

/// More than a policy may have.
const MOST: usize = 150;

/// Everything that the editor shows.
pub struct Draft {
    pub rules: Vec<DraftRule>,
    pub default: DraftAction,
    pub connection: String,
    pub website_url: String,
}

#[derive(Clone, Default)]
pub struct DraftRule {
    pub families: Vec<String>,
    /// One pattern a line.
    pub users: String,
    pub then: DraftAction,
}

#[derive(Clone, Default)]
pub struct DraftAction {
    pub kind: String,
    pub server: String,
    pub message: String,
    pub url: String,
}

/// What a button of the editor does to its draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Add,
    Remove(usize),
    Up(usize),
    Down(usize),
}

impl Edit {
    pub fn parse(text: &str) -> Option<Self> {
        let (name, index) = text.split_once('-').unwrap_or((text, ""));
        match (name, index.parse()) {
            ("add", _) => Some(Self::Add),
            ("remove", Ok(index)) => Some(Self::Remove(index)),
            ("up", Ok(index)) => Some(Self::Up(index)),
            ("down", Ok(index)) => Some(Self::Down(index)),
            _ => None,
        }
    }
}

impl Draft {
    pub fn of(domain: &Domain) -> Self {
        let rule = |rule: &Rule| DraftRule {
            families: rule
                .when
                .model_families
                .iter()
                .map(|family| family.as_str().to_owned())
                .collect(),
            users: rule.when.users.join("\n"),
            then: DraftAction::of(&rule.then),
        };
        Self {
            rules: domain.policy.rules.iter().map(rule).collect(),
            default: DraftAction::of(&domain.policy.default),
            connection: domain.connection.as_str().to_owned(),
            website_url: domain.website_url.clone().unwrap_or_default(),
        }
    }

    /// As a form sent it: its rules in the order of their fields named `rule`.
    pub fn typed(form: &Form) -> Self {
        let rule = |key: &str| DraftRule {
            families: form.all(&format!("families-{key}")).map(ToOwned::to_owned).collect(),
            users: form.value(&format!("users-{key}")).to_owned(),
            then: DraftAction::typed(form, key),
        };
        Self {
            rules: form.all("rule").take(MOST).map(rule).collect(),
            default: DraftAction::typed(form, "default"),
            connection: form.value("connection").to_owned(),
            website_url: form.value("website_url").trim().to_owned(),
        }
    }

    pub fn edit(&mut self, edit: Edit) {
        let count = self.rules.len();
        match edit {
            Edit::Add => self.rules.push(DraftRule {
                then: DraftAction {
                    kind: "serve".to_owned(),
                    ..DraftAction::default()
                },
                ..DraftRule::default()
            }),
            Edit::Remove(index) if index < count => drop(self.rules.remove(index)),
            Edit::Up(index) if (1..count).contains(&index) => self.rules.swap(index - 1, index),
            Edit::Down(index) if index + 1 < count => self.rules.swap(index, index + 1),
            Edit::Remove(_) | Edit::Up(_) | Edit::Down(_) => {}
        }
    }

    /// The policy that it says, to replace `stored`, if nothing is wrong with it. What is wrong is said in `form`, at the
    /// fields.
    pub fn policy(&self, stored: &Policy, servers: &ServerNames, form: &mut Form) -> Option<Policy> {
        let before = form.is_fine();
        let rules = self.rules.iter().enumerate().map(|(index, rule)| Rule {
            when: When {
                model_families: rule
                    .families
                    .iter()
                    .filter_map(|family| Family::parse(family))
                    .collect(),
                users: rule
                    .users
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty())
                    .map(ToOwned::to_owned)
                    .collect(),
            },
            then: rule.then.parse(servers, form, &index.to_string()),
        });
        let rules = rules.collect();
        let policy = Policy {
            default: self.default.parse(servers, form, "default"),
            rules,
        };
        for error in policy.errors_replacing(stored) {
            let (field, what) = field_of(&error.pointer);
            form.complain(&field, what.map_or(error.detail, ToOwned::to_owned));
        }
        (before && form.is_fine()).then_some(policy)
    }

    /// The same with everything else that the editor changes.
    pub fn change(&self, stored: &Policy, servers: &ServerNames, form: &mut Form) -> Option<Change> {
        let policy = self.policy(stored, servers, form);
        let connection = Connection::parse(&self.connection);
        if connection.is_none() {
            form.complain("connection", "is to be chosen");
        }
        let website_url = match self.website_url.as_str() {
            "" => Some(None),
            text => match WebUrl::parse(text) {
                Ok(url) => Some(Some(url)),
                Err(detail) => {
                    form.complain("website_url", detail);
                    None
                }
            },
        };
        Some(Change {
            connection: Some(connection?),
            website_url: Some(website_url?),
            policy: Some(policy?),
        })
    }
}

impl DraftRule {
    #[must_use]
    pub fn is_ticked(&self, family: &str) -> bool {
        self.families.iter().any(|ticked| ticked == family)
    }
}

impl DraftAction {
    fn of(action: &Action) -> Self {
        let of_kind = |kind: &str| Self {
            kind: kind.to_owned(),
            ..Self::default()
        };
        match action {
            Action::Serve { server_id } => Self {
                server: server_id.to_string(),
                ..of_kind("serve")
            },
            Action::Reject { message } => Self {
                message: message.clone(),
                ..of_kind("reject")
            },
            Action::Defer {} => of_kind("defer"),
            Action::Redirect { url } => Self {
                url: url.clone(),
                ..of_kind("redirect")
            },
        }
    }

    fn typed(form: &Form, key: &str) -> Self {
        let value = |field: &str| form.value(&format!("{field}-{key}")).to_owned();
        Self {
            kind: value("action"),
            server: value("server"),
            message: value("message"),
            url: value("url").trim().to_owned(),
        }
    }

    /// What can't be parsed is complained of, and stands as the harmless action.
    fn parse(&self, servers: &ServerNames, form: &mut Form, key: &str) -> Action {
        match self.kind.as_str() {
            "serve" => match self.server.parse::<Uuid>() {
                Ok(server_id) if servers.contains_key(&server_id) => return Action::Serve { server_id },
                _ => form.complain(&format!("server-{key}"), "is to be chosen"),
            },
            "reject" => {
                return Action::Reject {
                    message: self.message.clone(),
                };
            }
            "defer" => {}
            "redirect" => return Action::Redirect { url: self.url.clone() },
            _ => form.complain(&format!("action-{key}"), "is to be chosen"),
        }
        Action::Defer {}
    }
}

/// The field of what a JSON pointer into a policy names, and other words for it where a form has other words.
fn field_of(pointer: &str) -> (String, Option<&'static str>) {
    let parts: Vec<_> = pointer.split('/').skip(1).collect();
    match parts.as_slice() {
        ["default", field] => (format!("{field}-default"), None),
        ["rules", index, "when"] => (
            format!("families-{index}"),
            Some("or people are to be named: what holds for everyone stands at the end"),
        ),
        ["rules", index, "when", "users", ..] => (format!("users-{index}"), None),
        ["rules", index, "then", field] => (format!("{field}-{index}"), None),
        _ => (String::new(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(rules: &[&str]) -> Draft {
        let fields: Vec<_> = rules.iter().map(|key| ("rule", *key)).collect();
        let mut form = Form::of(&fields);
        for key in rules {
            let users = format!("{key}@contoso.com\n\n *@x.example ");
            let more = [
                (format!("users-{key}"), users),
                (format!("families-{key}"), "Mac".to_owned()),
                (format!("action-{key}"), "defer".to_owned()),
            ];
            let all: Vec<_> = form.typed().into_iter().chain(more).collect();
            let all: Vec<_> = all
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            form = Form::of(&all);
        }
        Draft {
            default: DraftAction::of(&Action::Defer {}),
            connection: "direct".to_owned(),
            ..Draft::typed(&form)
        }
    }

    fn users(draft: &Draft) -> Vec<&str> {
        draft
            .rules
            .iter()
            .map(|rule| rule.users.split('@').next().unwrap())
            .collect()
    }

    #[test]
    fn a_rule_is_added_moved_and_removed_and_what_was_typed_goes_with_it() {
        let mut draft = draft(&["a", "b", "c"]);
        assert_eq!(users(&draft), ["a", "b", "c"]);
        for (edit, after) in [
            ("up-1", vec!["b", "a", "c"]),
            ("up-0", vec!["b", "a", "c"]),
            ("down-1", vec!["b", "c", "a"]),
            ("down-2", vec!["b", "c", "a"]),
            ("remove-9", vec!["b", "c", "a"]),
            ("remove-0", vec!["c", "a"]),
            ("add", vec!["c", "a", ""]),
        ] {
            draft.edit(Edit::parse(edit).unwrap());
            assert_eq!(users(&draft), after, "{edit}");
        }
        for text in ["", "save", "up", "up-x", "up--1", "remove-99999999999999999999999"] {
            assert_eq!(Edit::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_right_becomes_a_policy_and_what_is_wrong_is_said_at_its_field() {
        let servers = ServerNames::from([(Uuid::from_u128(1), "Jamf Pro".to_owned())]);
        let stored = Policy {
            default: Action::Defer {},
            rules: Vec::new(),
        };
        let mut form = Form::default();
        let policy = draft(&["a"]).policy(&stored, &servers, &mut form).unwrap();
        assert_eq!(policy.rules[0].when.users, ["a@contoso.com", "*@x.example"]);
        assert_eq!(policy.rules[0].when.model_families, [Family::Mac]);

        let mut wrong = draft(&["a", "b", "c"]);
        wrong.rules[0].families = Vec::new();
        wrong.rules[0].users = String::new();
        wrong.rules[1].then.kind = "redirect".to_owned();
        wrong.rules[2].then.kind = "serve".to_owned();
        wrong.rules[2].then.server = Uuid::from_u128(2).to_string();
        wrong.default.kind = "reject".to_owned();
        wrong.website_url = "javascript:alert(1)".to_owned();
        wrong.connection = "tunnel".to_owned();
        assert!(wrong.change(&stored, &servers, &mut form).is_none());
        for field in [
            "families-0",
            "url-1",
            "server-2",
            "message-default",
            "website_url",
            "connection",
        ] {
            assert!(form.error(field).is_some(), "{field}");
        }
    }
}
