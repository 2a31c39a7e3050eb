//! Signpost answers Apple's enrollment discovery for many customer domains.
//!
//! A device's request: [`server`] (listener, TLS) → [`discovery`] (front door, directory, answer), and one hit into
//! [`request_log`]. A program's request: [`api`] → the rules of [`domains`] and [`accounts`] → a `store.rs`. What is
//! committed reaches the directory through [`publisher`]. `ARCHITECTURE.md` walks through all three.

// Who is asking, and for whom they may act.
pub mod accounts;
// REST for programs.
pub mod api;
// Who changed what.
pub mod audit;
// Bytes of request bodies that are being read.
pub mod body_budget;
// Certificates: issuers, renewal, the one that a handshake gets.
pub mod certificates;
// The command line.
pub mod cli;
// What time it is.
pub mod clock;
// Every setting.
pub mod config;
// Client connections before HTTP: permits, PROXY header, TLS, deadlines.
pub mod connections;
// HTML for people.
pub mod console;
// Example data for a trial.
pub mod demo;
// The limit on open files.
pub mod descriptors;
// The hot path: what a device asks, and what it is told.
pub mod discovery;
// Asks DNS.
pub mod dns;
// The registry of hostnames and MDM servers.
pub mod domains;
// Which Microsoft Entra tenant a domain belongs to.
pub mod entra;
// Frames in a file.
pub mod frames;
// A hostname, parsed once.
pub mod hostname;
// Names and web addresses, parsed once; what is wrong with an input.
pub mod input;
// The periodic jobs.
pub mod jobs;
// Which secret keys are in force.
pub mod keyring;
// Sends mails.
pub mod mail;
// Asks OpenID providers, and believes what they have signed.
pub mod oidc;
// How the whole installation does, for whoever runs it.
pub mod operating;
// The ops listener: health and metrics.
pub mod ops;
// What is to be told to somebody outside.
pub mod outbox;
// How a node recognises a request of its own installation.
pub mod own_checks;
// Connections to addresses that somebody else chose.
pub mod outbound;
// Which passwords are taken, and how they are kept.
pub mod passwords;
// The database: pool, migrations, and the server itself when none is given.
pub mod postgres;
// What would a device get: the whole way, from outside.
pub mod probe;
// By which scheme the world reaches the portal.
pub mod public_scheme;
// From rows in the database to entries in memory.
pub mod publisher;
// What devices asked.
pub mod request_log;
// Brings everything under a new secret key.
pub mod rotation;
// Seals secret columns.
pub mod sealed;
// The composition root.
pub mod server;
// What a domain's owner sets up.
pub mod setup;
// Long-running tasks.
pub mod tasks;
// Log lines and metrics.
pub mod telemetry;
// The shapes of user patterns and the limits on their size.
pub mod user_patterns;
// MDM vendors: parameters → Version and BaseURL.
pub mod vendors;
// What the API and the console share.
pub mod web;
// Background work that many organisations share.
pub mod work;
// Tells other people's programs what happens.
pub mod webhooks;
