//! What a DNS message says, as plain values. Pure; whatever a stranger's server may send is survived, and bounded.
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, Name, RData, RecordType},
};

use super::{Caa, Failure};

const MAX_RECORDS: usize = 64;
const MAX_ALIASES: usize = 16;

/// A name that is not a DNS name does not exist.
pub fn absolute(name: &str) -> Result<Name, Failure> {
    let mut name = Name::from_ascii(name).map_err(|_| Failure::NoSuchName)?;
    name.set_fqdn(true);
    // Its length is checked when it is sent, too late for a clear word.
    match name.len() <= 255 && !name.is_root() {
        true => Ok(name),
        false => Err(Failure::NoSuchName),
    }
}

/// The aliases from the name that was asked about to the one that has the records.
pub struct Chain {
    name: Name,
    aliases: Vec<Name>,
}

/// What a message leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// The records of the last name; none, if it has none.
    Records(Vec<T>),
    /// The message ends at an alias: its target is to be asked about.
    AskForTheEnd,
}

impl Chain {
    pub fn new(name: Name) -> Self {
        Self {
            name,
            aliases: Vec::new(),
        }
    }

    pub fn end(&self) -> &Name {
        self.aliases.last().unwrap_or(&self.name)
    }

    pub fn aliases(&self) -> Vec<String> {
        self.aliases.iter().map(readable_name).collect()
    }

    /// Goes on from the end with the answer to a question about it.
    pub fn follow<T>(
        &mut self,
        message: &Message,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Step<T>, Failure> {
        let asked = self.aliases.len();
        while let Some(target) = target_of(message, self.end()) {
            if self.aliases.len() == MAX_ALIASES || target == self.name || self.aliases.contains(&target) {
                return Err(Failure::ServerFailure);
            }
            self.aliases.push(target);
        }
        let records = message
            .answers
            .iter()
            .filter(|record| record.dns_class == DNSClass::IN && record.record_type() == kind)
            .filter(|record| record.name == *self.end())
            .filter_map(|record| read(&record.data));
        let records: Vec<T> = records.take(MAX_RECORDS).collect();
        match message.response_code {
            _ if !records.is_empty() => Ok(Step::Records(records)),
            // Of an alias the code tells about the last name (RFC 6604 §3).
            ResponseCode::NXDomain => Err(Failure::NoSuchName),
            _ if self.aliases.len() > asked => Ok(Step::AskForTheEnd),
            _ => Ok(Step::Records(records)),
        }
    }
}

pub fn target_of(message: &Message, name: &Name) -> Option<Name> {
    message
        .answers
        .iter()
        .filter(|record| record.dns_class == DNSClass::IN && record.name == *name)
        .find_map(|record| match &record.data {
            RData::CNAME(target) => Some(target.0.clone()),
            _ => None,
        })
}

pub fn a(data: &RData) -> Option<Ipv4Addr> {
    match data {
        RData::A(address) => Some(address.0),
        _ => None,
    }
}

pub fn aaaa(data: &RData) -> Option<Ipv6Addr> {
    match data {
        RData::AAAA(address) => Some(address.0),
        _ => None,
    }
}

pub fn txt(data: &RData) -> Option<String> {
    match data {
        RData::TXT(txt) => Some(readable(&txt.txt_data.concat())),
        _ => None,
    }
}

pub fn caa(data: &RData, at: &Name) -> Option<Caa> {
    match data {
        RData::CAA(caa) => Some(Caa {
            name: readable_name(at),
            critical: caa.issuer_critical,
            tag: readable(caa.tag.as_bytes()).to_ascii_lowercase(),
            value: readable(&caa.value),
        }),
        _ => None,
    }
}

/// Without control characters: a NUL fits into no database text, an escape sequence belongs on no terminal.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

pub fn readable_name(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use hickory_resolver::proto::{
        op::{MessageType, OpCode},
        rr::{
            Record,
            rdata::{A, CNAME, TXT},
        },
    };

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn alias(from: &str, to: &str) -> Record {
        Record::from_rdata(name(from), 60, RData::CNAME(CNAME(name(to))))
    }

    fn address(of: &str, last: u8) -> Record {
        Record::from_rdata(name(of), 60, RData::A(A::new(192, 0, 2, last)))
    }

    fn message(code: ResponseCode, answers: Vec<Record>) -> Message {
        let mut message = Message::new(1, MessageType::Response, OpCode::Query);
        message.metadata.response_code = code;
        message.insert_answers(answers);
        message
    }

    fn follow(message: &Message) -> (Result<Step<Ipv4Addr>, Failure>, Vec<String>) {
        let mut chain = Chain::new(name("a.example."));
        let step = chain.follow(message, RecordType::A, a);
        (step, chain.aliases())
    }

    #[test]
    fn an_answer_leads_through_its_aliases_to_the_last_names_records() {
        use ResponseCode::{NXDomain, NoError};
        let found = |last| Ok(Step::Records(vec![Ipv4Addr::new(192, 0, 2, last)]));
        let nothing = || Ok(Step::Records(vec![]));
        for (case, code, answers, expected, aliases) in [
            ("its own", NoError, vec![address("a.example.", 1)], found(1), vec![]),
            ("in capitals", NoError, vec![address("A.EXAMPLE.", 1)], found(1), vec![]),
            ("none", NoError, vec![], nothing(), vec![]),
            (
                "of another name",
                NoError,
                vec![address("evil.example.", 6)],
                nothing(),
                vec![],
            ),
            ("no such name", NXDomain, vec![], Err(Failure::NoSuchName), vec![]),
            (
                "through aliases in any order",
                NoError,
                vec![
                    address("c.example.", 3),
                    alias("b.example.", "C.example."),
                    alias("a.example.", "b.example."),
                ],
                found(3),
                vec!["b.example", "c.example"],
            ),
            (
                "an alias to nothing",
                NXDomain,
                vec![alias("a.example.", "b.example.")],
                Err(Failure::NoSuchName),
                vec!["b.example"],
            ),
            (
                "an alias only",
                NoError,
                vec![alias("a.example.", "b.example.")],
                Ok(Step::AskForTheEnd),
                vec!["b.example"],
            ),
            (
                "in a circle",
                NoError,
                vec![alias("a.example.", "b.example."), alias("b.example.", "a.example.")],
                Err(Failure::ServerFailure),
                vec!["b.example"],
            ),
            (
                "to itself",
                NoError,
                vec![alias("a.example.", "a.example.")],
                Err(Failure::ServerFailure),
                vec![],
            ),
        ] {
            let (step, followed) = follow(&message(code, answers));
            assert_eq!(step, expected, "{case}");
            assert_eq!(followed, aliases, "{case}");
        }
    }

    #[test]
    fn a_chain_and_a_set_of_records_end_somewhere() {
        let step = |n| alias(&format!("{n}.example."), &format!("{}.example.", n + 1));
        let mut answers: Vec<_> = (0..30).map(step).collect();
        answers.push(alias("a.example.", "0.example."));
        let (result, aliases) = follow(&message(ResponseCode::NoError, answers));
        assert_eq!(result, Err(Failure::ServerFailure));
        assert_eq!(aliases.len(), MAX_ALIASES);

        let many = (0..=255).map(|last| address("a.example.", last)).collect();
        let (result, _) = follow(&message(ResponseCode::NoError, many));
        assert!(matches!(result, Ok(Step::Records(records)) if records.len() == MAX_RECORDS));
    }

    #[test]
    fn a_text_is_joined_as_it_stands_and_holds_nothing_unreadable() {
        for (strings, expected) in [
            (
                vec![&b"signpost-veri"[..], b"fication=", b"abc"],
                "signpost-verification=abc",
            ),
            (vec![b" a ", b" b"], " a  b"),
            (
                vec![b"nul\0 bell\x07 esc\x1b[2J \xff"],
                "nul\u{fffd} bell\u{fffd} esc\u{fffd}[2J \u{fffd}",
            ),
            (vec![b""], ""),
        ] {
            let data = RData::TXT(TXT::from_bytes(strings));
            assert_eq!(txt(&data).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_name_that_dns_can_not_hold_does_not_exist() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long = format!("_signpost.{}.example", ["a".repeat(60).as_str(); 4].join("."));
        for text in ["", ".", "a..example", &long_label, &long] {
            assert_eq!(absolute(text), Err(Failure::NoSuchName), "{text}");
        }
        for text in ["_signpost.contoso.com", "_signpost.contoso.com.", "localhost"] {
            assert!(absolute(text).is_ok_and(|name| name.is_fqdn()), "{text}");
        }
    }
}
