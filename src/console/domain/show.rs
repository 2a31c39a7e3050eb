//! The page of one domain.
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use sqlx::PgConnection;

use super::{
    find,
    live::Live,
    look::{self, Foretold, Walk},
    policy_words::{self, Line},
    servers,
    set_up::{self, SetUp},
    share::Listed,
    words::{self, Reader},
};
use crate::{
    accounts::{Member, Permission, clients},
    clock::DatabaseTime,
    console::{
        Console,
        fault::Fault,
        form::Form,
        page::{self, Frame, Section},
        plots::{self, Plots},
    },
    domains::{
        Domain,
        share_links::{self, Lifetime},
    },
};

#[derive(Template)]
#[template(path = "domain.html")]
pub struct Page {
    frame: Frame,
    hostname: String,
    client: clients::Client,
    may_write: bool,
    live: Live,
    walked: Option<Result<Walk, &'static str>>,
    rules: Vec<Line>,
    default: String,
    connection: &'static str,
    website_url: Option<String>,
    foretold: Foretold,
    set_up: SetUp,
    links: Vec<Listed>,
    share: Form,
    /// None: this role does not see requests.
    plots: Option<Plots>,
}

/// `GET /domains/{hostname}`, and of its parts alone what their scripts ask for with `?part=`.
pub async fn show(
    request: HttpRequest,
    console: web::Data<Console>,
    member: Member,
    hostname: web::Path<String>,
) -> Result<HttpResponse, Fault> {
    let scope = member.scope(Permission::DomainsRead)?;
    let domain = find(&mut *console.pool.acquire().await?, &scope, &hostname).await?;
    let query = |name: &str| page::query(&request, name);
    let part = query("part");
    if part.as_deref() == Some("live") {
        let (mut db, now) = crate::clock::acquire(&console.pool).await?;
        let client = client_of(&mut db, &member, &domain).await?;
        return Ok(page::show(&live(&console, &domain, &client, now)));
    }
    let walked = match query("probe") {
        Some(_) => Some(look::walk(&console, &scope, &domain).await?),
        None => None,
    };
    match (part.as_deref(), &walked) {
        (Some("walk"), Some(Ok(walk))) => return Ok(page::show(walk)),
        (Some("walk"), Some(Err(_))) => return Err(Fault::TooMany(10)),
        _ => {}
    }
    let mut shown = Page::load(&request, &console, &member, domain).await?;
    shown.walked = walked;
    Ok(page::show(&shown))
}

impl Page {
    /// Everything but the walk, which takes long.
    pub async fn load(
        request: &HttpRequest,
        console: &Console,
        member: &Member,
        domain: Domain,
    ) -> Result<Self, Fault> {
        let scope = member.scope(Permission::DomainsRead)?;
        let (mut db, now) = crate::clock::acquire(&console.pool).await?;
        let client = client_of(&mut db, member, &domain).await?;
        let servers = servers::of_client(&mut db, &scope, &domain).await?;
        let query = |name: &str| page::query(request, name);
        let foretold = match (query("user"), query("family")) {
            (None, None) => Foretold::asked(Some(&format!("ada@{}", domain.hostname)), Some("Mac")),
            (user, family) => {
                let asked = Foretold::asked(user.as_deref(), family.as_deref());
                asked.answered(&mut db, &scope, &domain, &domain.policy).await?
            }
        };
        let links = share_links::store::list(&mut db, &scope, domain.id, now).await?;
        let plots = match member.scope(Permission::RequestsRead) {
            Ok(scope) => Some(plots::of_domain(&mut db, &scope, &domain.hostname, now).await?),
            Err(_) => None,
        };
        let notice = match page::done(request).as_deref() {
            Some("added") => Some("The domain is registered. What is to be done next stands below."),
            Some("checked") => Some("We have just looked at the domain. What we saw stands below."),
            Some("rules") => Some("Saved. Devices are answered by these rules from now on."),
            Some("revoked") => Some("The link is revoked: it shows nothing any more."),
            _ => None,
        };
        Ok(Self {
            frame: Frame::member(request, member, Section::Domains).with_notice(notice),
            live: live(console, &domain, &client, now),
            client,
            may_write: member.scope(Permission::DomainsWrite).is_ok(),
            walked: None,
            rules: policy_words::lines(&domain.policy, &servers),
            default: policy_words::action(&domain.policy.default, &servers),
            connection: words::connection(domain.connection),
            foretold,
            set_up: SetUp::new(console, &domain, query("set-up").as_deref()),
            links: links.into_iter().map(Into::into).collect(),
            share: Form::of(&[("days", &Lifetime::DEFAULT_DAYS.to_string())]),
            plots,
            website_url: domain.website_url,
            hostname: domain.hostname,
        })
    }

    #[must_use]
    pub fn with_share_form(self, share: Form) -> Self {
        Self { share, ..self }
    }
}

fn live(console: &Console, domain: &Domain, client: &clients::Client, now: DatabaseTime) -> Live {
    let reader = Reader::Member { client: &client.name };
    Live::new(domain, &console.checker.expected, now.get(), reader)
}

async fn client_of(db: &mut PgConnection, member: &Member, domain: &Domain) -> Result<clients::Client, Fault> {
    let scope = member.scope(Permission::DomainsRead)?;
    let found = clients::store::find(db, &scope, domain.client_id).await?;
    found.ok_or(Fault::NoSuchPage)
}
