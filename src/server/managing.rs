//! The half that is an ordinary application: what its handlers share, and with what it looks at the world outside.
use std::sync::Arc;

use actix_web::web::Data;
use anyhow::{Context, Result};
use prometheus::Registry;
use tokio::sync::Semaphore;

use super::{Addresses, Installation, Purpose, ca_file, names, outside::Outside, serving::Serving};
use crate::{
    accounts::single_sign_on::MailDomains,
    api::{Api, rate_limit::RateLimits},
    certificates::wanted::Wanted,
    config::{Certificates, Registration, Settings},
    console::{Console, attempts::Attempts},
    discovery::{
        handler::{Discovery, decide},
        query::ModelFamily,
    },
    domains::told::Teller,
    domains::{
        checks::{
            CheckPlaces, Checker, MAX_CHECKS_ASKED_FOR,
            fetch::{Fetch, OurAnswer},
            looks::Looks,
        },
        probes::Probes,
        standing::Standings,
        statistics::Statistics,
    },
    entra::Entra,
    hostname::Hostname,
    jobs,
    mail::Mailer,
    oidc::Oidc,
    outbox::Postman,
    passwords::Passwords,
    probe::{Limits, Probe, Trust, default_user},
    tasks::Tasks,
    webhooks::{
        attempt::{PATIENCE, Sender},
        courier::Courier,
        events::Events,
    },
    work::clock_watch::ClockWatch,
};

pub fn api(
    settings: &Settings,
    installation: &Installation,
    addresses: &Addresses,
    serving: &Serving,
    wanted: Arc<Wanted>,
) -> Result<Api> {
    let Outside {
        dns,
        outbound,
        expected,
    } = Outside::new(settings, serving.issuer.name())?;
    let discovery = serving.discovery.clone();
    let entra = Entra::new(outbound.clone(), dns.clone(), &settings.entra_urls);
    let oidc = Oidc::new(outbound.clone(), dns.clone());
    let own_checks = serving.discovery.own_checks.clone();
    let probe = Probe {
        dns: dns.clone(),
        outbound,
        trust: Trust::new(own_ca(settings)?.as_deref())?,
        limits: Limits::default(),
    };
    let looks = Looks {
        dns: dns.clone(),
        fetch: Fetch {
            probe: probe.clone(),
            https_port: settings.public_https_port,
            ask_ourselves: Box::new(move |hostname| our_answer(&discovery, hostname)),
            own_checks: own_checks.clone(),
        },
        entra: entra.clone(),
        turns_at_entra: Semaphore::new(4),
    };
    let portal_url = names::portal_url(settings, addresses);
    let mail_domains = MailDomains::new(
        installation.postgres.background().clone(),
        dns.clone(),
        installation.keyring.clone(),
        portal_url.clone(),
    );
    Ok(Api {
        pool: installation.postgres.pool().clone(),
        keyring: installation.keyring.clone(),
        registration_rules: names::own(settings),
        portal_url,
        trial_root: trial_root(settings),
        checker: Arc::new(Checker {
            pool: installation.postgres.background().clone(),
            looks,
            expected,
            places: CheckPlaces::new(MAX_CHECKS_ASKED_FOR),
            certificate_wanted: Box::new(move |hostname| wanted.add(hostname)),
        }),
        check_wanted: Arc::default(),
        limits: RateLimits::default(),
        entra,
        oidc,
        mail_domains: Arc::new(mail_domains),
        probes: Arc::new(Probes::new(probe, settings.public_https_port, own_checks)),
    })
}

/// Pages look at domains as the API does, with the same places.
pub fn console(
    settings: &Settings,
    installation: &Installation,
    api: &Api,
    purpose: Purpose,
    registry: &Registry,
) -> Result<Console> {
    Ok(Console {
        pool: installation.postgres.pool().clone(),
        keyring: installation.keyring.clone(),
        passwords: Passwords::default(),
        attempts: Attempts::register(registry)?,
        checker: api.checker.clone(),
        check_wanted: api.check_wanted.clone(),
        probes: api.probes.clone(),
        trial_root: api.trial_root.clone(),
        portal_url: api.portal_url.clone(),
        registration_rules: api.registration_rules.clone(),
        entra: api.entra.clone(),
        oidc: api.oidc.clone(),
        mail_domains: api.mail_domains.clone(),
        may_register: settings.registration == Registration::Open,
        shows_mails: purpose == Purpose::Demo && settings.smtp_url.is_none(),
        trusted_proxies: settings.trusted_proxies.clone(),
        standings: Standings::default(),
    })
}

/// `None`: there is no mail server, and mails stay in the outbox.
fn postman(settings: &Settings, installation: &Installation) -> Result<Option<Postman>> {
    let (Some(url), Some(from)) = (&settings.smtp_url, &settings.mail_from) else {
        return Ok(None);
    };
    let mailer = Mailer::new(url.expose(), from).context("SIGNPOST_SMTP_URL or SIGNPOST_MAIL_FROM")?;
    Ok(Some(Postman {
        pool: installation.postgres.background().clone(),
        keyring: installation.keyring.clone(),
        mailer,
    }))
}

/// Tells other people's programs what happens.
fn courier(
    settings: &Settings,
    installation: &Installation,
    addresses: &Addresses,
    serving: &Serving,
) -> Result<Courier> {
    let Outside { dns, outbound, .. } = Outside::new(settings, serving.issuer.name())?;
    Ok(Courier {
        events: Events {
            pool: installation.postgres.background().clone(),
            keyring: installation.keyring.clone(),
            portal_url: names::portal_url(settings, addresses),
        },
        sender: Sender {
            outbound,
            dns,
            patience: PATIENCE,
        },
        backlog: Arc::default(),
    })
}

/// Who tells whom, in the background.
pub struct Messengers {
    postman: Option<Postman>,
    pub courier: Courier,
}

pub fn messengers(
    settings: &Settings,
    installation: &Installation,
    addresses: &Addresses,
    serving: &Serving,
) -> Result<Messengers> {
    Ok(Messengers {
        postman: postman(settings, installation)?,
        courier: courier(settings, installation, addresses, serving)?,
    })
}

/// What is done without anybody asking.
pub fn start(
    tasks: &mut Tasks,
    clock: &Arc<ClockWatch>,
    api: &Data<Api>,
    console: &Data<Console>,
    messengers: Messengers,
) {
    let Messengers { postman, courier } = messengers;
    let look = jobs::look_at_domains(
        api.checker.clone(),
        api.check_wanted.clone(),
        clock.clone(),
        tasks.cancel(),
    );
    tasks.spawn("checks", look);
    let records = api.mail_domains.clone().run(clock.clone(), tasks.cancel());
    tasks.spawn("single sign-on records", records);
    if let Some(postman) = postman {
        tasks.spawn("mails", postman.run(tasks.cancel()));
    }
    let teller = Teller {
        pool: api.checker.pool.clone(),
        expected: api.checker.expected.clone(),
    };
    tasks.spawn("changes of status", teller.run(tasks.cancel()));
    let statistics = Statistics {
        pool: api.checker.pool.clone(),
    };
    tasks.spawn("statistics", statistics.run(tasks.cancel()));
    tasks.spawn("webhooks", Arc::new(courier).run(tasks.cancel()));
    let forget = jobs::forget_callers(api.clone(), console.clone(), tasks.cancel());
    tasks.spawn("rate limits", forget);
}

/// The probe believes it where it signs the domains' certificates.
fn own_ca(settings: &Settings) -> Result<Option<Vec<u8>>> {
    match settings.certificates {
        Certificates::Internal => {
            let ca = std::fs::read(ca_file(&settings.state_dir)).context("the internal CA can't be read")?;
            Ok(Some(ca))
        }
        Certificates::Acme => Ok(None),
    }
}

/// What a look from outside is answered, if it reaches us.
fn our_answer(discovery: &Discovery, hostname: &Hostname) -> Option<OurAnswer> {
    let entry = discovery.directory.find(hostname.as_str())?;
    let user = default_user(hostname.as_str());
    let decision = decide(&entry, Some(ModelFamily::IPhone), Some(user.as_bytes()));
    Some(OurAnswer {
        status: decision.status.as_u16(),
        body: decision.body.map(|body| body.to_vec()).unwrap_or_default(),
        location: decision.location.map(str::to_owned),
    })
}

/// The internal CA as the machine's other programs find it; none if certificates are a public authority's.
fn trial_root(settings: &Settings) -> Option<String> {
    let file = std::path::absolute(ca_file(&settings.state_dir)).ok()?;
    (settings.certificates == Certificates::Internal).then(|| file.display().to_string())
}
