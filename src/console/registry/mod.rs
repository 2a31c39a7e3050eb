//! What lists and registers: clients, domains, MDM servers, the first run, the import. A path with a word at its end
//! stands before the one that takes any name there.
mod add;
mod client;
mod client_list;
mod delete;
mod domain_list;
mod import;
mod mdm;
mod server_new;
mod servers;
pub mod words;

use actix_web::web;

use super::{form, page};

pub fn pages(config: &mut web::ServiceConfig) {
    config
        .service(form(
            "/welcome",
            web::get().to(add::show_first),
            web::post().to(add::submit_first),
        ))
        .service(page("/domains", web::get().to(domain_list::show)))
        .service(form(
            "/domains/new",
            web::get().to(add::show),
            web::post().to(add::submit),
        ))
        .service(form(
            "/domains/import",
            web::get().to(import::show),
            web::post().to(import::submit),
        ))
        .service(page("/domains/import/template.csv", web::get().to(import::template)))
        .service(page("/clients", web::get().to(client_list::show)))
        .service(form(
            "/clients/new",
            web::get().to(client_list::show_new),
            web::post().to(client_list::create),
        ))
        .service(form(
            "/clients/{id}",
            web::get().to(client::show),
            web::post().to(client::change),
        ))
        .service(form(
            "/clients/{id}/delete",
            web::get().to(client::show_delete),
            web::post().to(client::delete),
        ))
        .service(form(
            "/clients/{id}/servers/new",
            web::get().to(server_new::show),
            web::post().to(server_new::create),
        ))
        .service(form(
            "/servers/{id}",
            web::get().to(servers::show),
            web::post().to(servers::change),
        ))
        .service(form(
            "/servers/{id}/delete",
            web::get().to(servers::show_delete),
            web::post().to(servers::delete),
        ));
}
