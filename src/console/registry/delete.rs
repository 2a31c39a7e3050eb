//! Before something is deleted: what goes with it, or why it can't go.
use askama::Template;

use crate::console::page::Frame;

#[derive(Template)]
#[template(path = "delete.html")]
pub struct DeletePage {
    pub frame: Frame,
    /// "client", "MDM server".
    pub what: &'static str,
    pub name: String,
    pub consequence: &'static str,
    /// Why it can't be deleted.
    pub reason: Option<String>,
    /// Its own page; the form is sent to `…/delete` below it.
    pub back: String,
}
