//! The same with a certified provider of somebody else's making.
use std::collections::BTreeMap;

use sqlx::PgPool;

use super::{
    provider::{CLIENT, SECRET},
    real_provider::RealProvider,
    rig::{DOMAIN, OWNER, PAGE, START, prove, sent},
};
use crate::{
    app::{Answer, TestApp},
    faults::dns::TestDns,
    people::leads_to,
};

/// Goes on from page to page until it leads back to us; returns where.
async fn sign_in_there(provider: &RealProvider, url: &str, email: &str) -> String {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        // It hangs up on whoever has said nothing for a while.
        .pool_max_idle_per_host(0);
    let client = client.build().unwrap();
    let mut cookies = BTreeMap::new();
    let mut request = client.get(url);
    for _ in 0..12 {
        let sent: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = Answer::of(request.header("cookie", sent.join("; ")).send().await.unwrap()).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = value.split(';').next().unwrap();
            // An empty one is the last page's, which ends: its path is another.
            if !value.is_empty() {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        request = match answer.header("location") {
            Some(back) if back.contains(START) => return back.to_owned(),
            Some(on) if on.starts_with('/') => client.get(format!("{}{on}", provider.issuer)),
            Some(on) => client.get(on),
            None => {
                let form = answer.text.split_once("action=\"");
                let (_, action) = form.unwrap_or_else(|| panic!("no form: {}", answer.text));
                let prompt = match answer.text.contains("value=\"login\"") {
                    true => "login",
                    false => "consent",
                };
                let form = format!("prompt={prompt}&login={}&password=x", email.replace('@', "%40"));
                client
                    .post(action.split('"').next().unwrap())
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form)
            }
        };
    }
    panic!("the provider leads in circles");
}

#[sqlx::test]
async fn a_certified_provider_signs_somebody_in_from_the_first_page_to_the_last(pool: PgPool) {
    let mut dns = TestDns::start(&[]);
    let settings = [
        ("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8"),
        ("SIGNPOST_DNS_SERVERS", &dns.address()),
    ];
    let app = TestApp::start_with(pool, &settings).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let msp = app.program_of(&owner).await;
    msp.register(DOMAIN).await;
    app.take_word(DOMAIN).await;
    let shown = owner.get(PAGE).await.text;
    let (_, redirect_uri) = shown.split_once("id=\"redirect-uri\">").unwrap();
    let provider = RealProvider::start(redirect_uri.split('<').next().unwrap());
    let fields = [
        ("issuer", provider.issuer.as_str()),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("mail_domains", DOMAIN),
        ("new_member_role", "viewer"),
    ];
    assert_eq!(
        leads_to(&owner.submit(PAGE, &fields).await),
        "/settings/single-sign-on?done=saved"
    );
    prove(&msp, &mut dns, &[DOMAIN]).await;
    for email in ["ada@acme.example", "ada@acme.example", OWNER] {
        let person = app.person();
        let page = person.submit(START, &[("email", email), ("next", "/requests")]).await;
        let back = sign_in_there(&provider, sent(&page).url.as_str(), email).await;
        let path = &back[back.find(START).unwrap()..];
        assert!(path.contains("iss="), "{path}");
        assert_eq!(leads_to(&person.get(path).await), "/requests");
        assert_eq!(person.get("/requests").await.status, 200);
    }
    let members = msp.get("/members").await.json();
    assert_eq!(members["data"].as_array().unwrap().len(), 2, "{members}");

    // A secret that the provider does not know.
    let fields = [("client_secret", "expired"), fields[0], fields[1], fields[3], fields[4]];
    owner.submit(PAGE, &fields).await;
    let person = app.person();
    let page = person.submit(START, &[("email", OWNER)]).await;
    let back = sign_in_there(&provider, sent(&page).url.as_str(), OWNER).await;
    let answer = person.get(&back[back.find(START).unwrap()..]).await;
    assert!(
        answer.status == 422 && answer.text.contains("The client secret is wrong or has expired"),
        "{}",
        answer.text
    );
    app.stop().await;
}
