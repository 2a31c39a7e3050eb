#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test that can not go on has failed"
)]
//! The pages in a real browser: chromium, driven by chromedriver, at a server of each test's own. What a page must be
//! for whoever looks at it stands in [`look`], the pages in [`pages`] and [`on_the_way`], and what people do with them in [`journey`], [`msp`]
//! and [`passkey`].
#[path = "../it/app.rs"]
#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod app;
mod branding;
mod chromium;
#[path = "../it/clock.rs"]
#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod clock;
#[path = "../it/faults/dns.rs"]
#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod dns;
mod journey;
mod look;
mod msp;
mod on_the_way;
mod pages;
mod passkey;
#[path = "../it/people.rs"]
#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod people;
#[path = "../it/phone.rs"]
#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod phone;
mod portal;
#[path = "../it/process.rs"]
#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod process;
#[path = "../it/single_sign_on/real_provider.rs"]
mod real_provider;
mod single_sign_on;
mod visitor;
