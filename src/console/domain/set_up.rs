//! The lines for the web server that answers at a domain today.
use crate::{
    console::Console,
    domains::{Connection, Domain},
    setup::{self, Edge, Snippet},
};

/// For one kind of connection.
pub struct SetUp {
    pub connection: &'static str,
    /// It is not the connection that the domain has.
    pub is_other: bool,
    pub target: String,
    pub snippets: Vec<Snippet>,
}

impl SetUp {
    /// For `wanted`, if that is a kind of connection; else for the domain's own.
    pub fn new(console: &Console, domain: &Domain, wanted: Option<&str>) -> Self {
        let connection = wanted.and_then(Connection::parse).unwrap_or(domain.connection);
        let edge = Edge::new(&console.checker.expected, console.trial_root.as_deref());
        let setup = setup::setup_of(domain, edge, connection);
        Self {
            connection: connection.as_str(),
            is_other: connection != domain.connection,
            target: setup.target,
            snippets: setup.snippets,
        }
    }
}

/// The pieces of a text with code between backticks: whether each is code.
pub fn parts(text: &str) -> Vec<(bool, &str)> {
    let pieces = text.split('`').enumerate();
    pieces.map(|(index, piece)| (index % 2 == 1, piece)).collect()
}
