//! The only way a connection leaves Signpost towards an address that somebody else chose: in a DNS record, a
//! redirect, a form. Otherwise a stranger's record could make us ask the services behind our own firewall.
//!
//! The check stands in the connector, on the very address that is connected to: a name that is looked up twice can
//! have two answers. Follows no redirect; whoever does comes here again for each hop.
mod addresses;
mod fetch;
pub mod retry_after;
mod tls;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use tokio::net::TcpStream;

pub use fetch::{FetchError, Fetched, Get, Post};

/// Which addresses may be asked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbound {
    allow: Arc<[IpNet]>,
    ports: Arc<[u16]>,
}

/// An address that is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// With the address and why it is not public. The text names neither: it may be what a name of an internal network
    /// resolves to, and whoever reads the text may not know that network.
    #[error("not a public address")]
    Address(IpAddr, &'static str),
    #[error("port {0} is not allowed: web servers only")]
    Port(u16),
    /// A name without a dot is one of an internal network.
    #[error("not a public address")]
    SingleLabel,
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error("the connection was refused")]
    Refused,
    #[error("there was no answer in time")]
    Timeout,
    #[error("the address can't be reached")]
    Unreachable,
    #[error("the connection failed")]
    Other(#[source] io::Error),
}

impl Outbound {
    /// `allow`: networks that may be asked, on any port, although they are not global; for trials and tests.
    /// `ports`: those that may be asked beside 80 and 443.
    #[must_use]
    pub fn new(allow: Vec<IpNet>, ports: Vec<u16>) -> Self {
        let ports: Vec<u16> = [80, 443].into_iter().chain(ports).collect();
        Self {
            allow: allow.into(),
            ports: ports.into(),
        }
    }

    pub fn permits(&self, address: SocketAddr) -> Result<(), Forbidden> {
        let ip = address.ip();
        if self.allow.iter().any(|network| network.contains(&ip)) {
            return Ok(());
        }
        match addresses::not_global(ip) {
            Some(why) => Err(Forbidden::Address(ip, why)),
            None if !self.ports.contains(&address.port()) => Err(Forbidden::Port(address.port())),
            None => Ok(()),
        }
    }

    /// A single label may be asked about only where networks that are not public may be asked (a trial).
    pub fn permits_name(&self, name: &str) -> Result<(), Forbidden> {
        let is_single_label = !name.trim_end_matches('.').contains('.');
        if is_single_label && self.allow.is_empty() {
            return Err(Forbidden::SingleLabel);
        }
        Ok(())
    }

    pub async fn connect(&self, address: SocketAddr, patience: Duration) -> Result<TcpStream, ConnectError> {
        self.permits(address)?;
        match tokio::time::timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(ConnectError::from(error)),
            Err(_) => Err(ConnectError::Timeout),
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
        match error.kind() {
            ConnectionRefused => Self::Refused,
            TimedOut => Self::Timeout,
            // Without an address of the family, the machine has no way there.
            HostUnreachable | NetworkUnreachable | AddrNotAvailable => Self::Unreachable,
            _ => Self::Other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_ports_of_global_addresses_are_asked_unless_a_setting_allows_more() {
        let plain = Outbound::new(vec![], vec![8443]);
        let trial = Outbound::new(
            vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            vec![],
        );
        let cases = [
            ("93.184.216.34:443", true, true),
            ("93.184.216.34:80", true, true),
            ("93.184.216.34:8443", true, false),
            ("93.184.216.34:22", false, false),
            ("[2606:2800:220:1::]:443", true, true),
            ("127.0.0.1:443", false, true),
            ("127.0.0.1:5432", false, true),
            ("[fd00::1]:5432", false, true),
            ("[::1]:443", false, false),
            ("[::ffff:127.0.0.1]:443", false, false),
            ("169.254.169.254:80", false, false),
            ("10.0.0.1:443", false, false),
        ];
        for (address, without, with) in cases {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(plain.permits(address).is_ok(), without, "{address}");
            assert_eq!(trial.permits(address).is_ok(), with, "{address}, in a trial");
        }
    }

    #[test]
    fn a_refusal_does_not_say_what_a_name_resolves_to() {
        let plain = Outbound::new(vec![], vec![]);
        for address in ["169.254.169.254:80", "10.0.0.1:443", "[fd00::1]:443"] {
            let forbidden = plain.permits(address.parse().unwrap()).unwrap_err();
            assert_eq!(forbidden.to_string(), "not a public address", "{address}");
        }
    }

    #[test]
    fn single_labels_are_refused_unless_a_setting_allows_internal_networks() {
        let plain = Outbound::new(vec![], vec![]);
        let trial = Outbound::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]);
        for (name, expected) in [
            ("intranet", false),
            ("localhost", false),
            ("db.", false),
            ("contoso.com", true),
            ("contoso.com.", true),
        ] {
            assert_eq!(plain.permits_name(name).is_ok(), expected, "{name}");
            assert!(trial.permits_name(name).is_ok(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_connector_itself_refuses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let patience = Duration::from_secs(5);
        let refused = Outbound::new(vec![], vec![address.port()])
            .connect(address, patience)
            .await;
        assert!(matches!(
            refused,
            Err(ConnectError::Forbidden(Forbidden::Address(_, "loopback")))
        ));
        let trial = Outbound::new(vec!["127.0.0.0/8".parse().unwrap()], vec![]);
        assert!(trial.connect(address, patience).await.is_ok());
        drop(listener);
        assert!(matches!(
            trial.connect(address, patience).await,
            Err(ConnectError::Refused)
        ));
    }
}
