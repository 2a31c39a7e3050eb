#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test that can not go on has failed"
)]
//! The whole server over a database of each test's own. A test's name is the rule it holds.
mod accounts;
mod acme;
mod answers;
mod app;
mod binary;
mod canary;
mod challenges;
mod claims;
mod command_line;
mod connections;
mod embedded_postgres;
mod entra;
mod faults;
mod freshness;
mod hosts;
mod imports;
mod key_rotation;
mod openapi;
mod outage;
mod passkeys;
mod people;
mod probe;
mod process;
mod registry;
mod request_log;
mod requests;
mod second_factor;
mod security_page;
mod served;
mod setups;
mod share_links;
mod sign_in;
mod sign_up;
mod smoke;
mod strictness;
mod tenancy;
mod tls;
mod web_servers;
mod websites;
mod wire;
