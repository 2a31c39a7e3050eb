//! The client of `certificates::acme` and Pebble, with the moods that it has by default.
use futures_util::future::join_all;
use rustls_acme::acme::Account;
use signpost::certificates::acme::Ca;

use super::{
    client::{nobody, obtain, order},
    pebble_for_client::Pebble,
};
use crate::web_servers::WebServer;

/// None of them may fail. How many requests there were.
async fn obtain_at_once(ca: &Ca, pebble: &Pebble, count: usize) -> usize {
    let key = Account::generate_key_pair();
    let url = ca.new_account(&key, &nobody()).await.unwrap();
    let session = ca.account(&key, &url).unwrap();
    let before = pebble.requests();
    let hostnames: Vec<_> = (0..count).map(|n| format!("host{n}.signpost.example")).collect();
    let new: Vec<_> = hostnames.iter().map(|hostname| order(hostname)).collect();
    let chains = join_all(new.iter().map(|new| obtain(&session, new))).await;
    for chain in &chains {
        assert_eq!(chain.as_ref().unwrap().len(), 2, "{}", pebble.said());
    }
    let requests = pebble.requests() - before;
    // Three a page.
    assert_eq!(session.orders().await.unwrap().len(), count);
    let leaf = &chains[0].as_ref().unwrap()[0];
    session.revoke(leaf, Some(4)).await.unwrap();
    session.revoke(leaf, Some(4)).await.unwrap();
    // A key has one account.
    assert_eq!(ca.new_account(&key, &nobody()).await.unwrap(), url);
    requests
}

#[tokio::test]
async fn of_sixty_orders_at_pebble_none_fails_and_each_takes_fewer_requests_than_seventeen() {
    let pebble = Pebble::start(&[("PEBBLE_VA_ALWAYS_VALID", "1")]);
    let requests = obtain_at_once(&pebble.ca(), &pebble, 60).await;
    eprintln!("{requests} requests for 60 certificates");
    assert!(requests < 60 * 17, "{requests}");
}

#[tokio::test]
async fn connections_that_end_after_a_few_requests_cost_no_order() {
    let pebble = Pebble::start(&[("PEBBLE_VA_ALWAYS_VALID", "1")]);
    let certificate = pebble.certificate();
    let nginx = WebServer::nginx(&format!(
        "log_format used '$server_protocol on $connection';\n\
         server {{ listen 127.0.0.1:{{port}} ssl http2; access_log /dev/stderr used; keepalive_requests 7;\n\
         ssl_certificate {}; ssl_certificate_key {};\n\
         location / {{ proxy_pass {}; proxy_set_header Host $http_host; }} }}",
        certificate.chain.display(),
        certificate.key.display(),
        pebble.address(),
    ));
    obtain_at_once(&pebble.ca_at(nginx.port), &pebble, 12).await;
    let said = nginx.said();
    let used: Vec<_> = said.lines().filter(|line| line.contains(" on ")).collect();
    assert!(
        used.len() > 100 && used.iter().all(|line| line.starts_with("HTTP/2.0 on ")),
        "{said}"
    );
    let connections: std::collections::HashSet<_> = used.iter().collect();
    assert!(connections.len() > 10, "{said}");
}
