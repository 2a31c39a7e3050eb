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
mod client_pages;
mod colleagues;
mod command_line;
mod connections;
mod demo_data;
mod domain_lists;
mod domain_page;
mod embedded_postgres;
mod entra;
mod faults;
mod first_run;
mod freshness;
mod hosts;
mod import_page;
mod imports;
mod invitations;
mod key_rotation;
mod lifetimes;
mod mails;
mod members;
mod openapi;
mod operator_pages;
mod organisation;
mod outage;
mod overview;
mod parity;
mod passkeys;
mod people;
mod phone;
mod probe;
mod process;
mod registry;
mod request_log;
mod request_pages;
mod requests;
mod second_factor;
mod security_page;
mod served;
mod settings_pages;
mod setups;
mod share_links;
mod sign_in;
mod sign_up;
mod single_sign_on;
mod smoke;
mod smtp;
mod strictness;
mod tenancy;
mod tls;
mod web_servers;
mod webhooks;
mod websites;
mod wire;
