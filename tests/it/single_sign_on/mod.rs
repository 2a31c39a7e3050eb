//! Single sign-on, with a provider that lies and with a real one.
mod doors;
mod mail_domains;
mod people;
mod provider;
mod real;
mod real_provider;
mod rig;
mod settings;
mod unproved_accounts;
