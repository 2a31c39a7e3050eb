//! Why a handshake did not come to its end: from what our TLS library met, and what the server answered to hellos
//! made by hand. Pure.
use super::{
    hello::{Heard, suite_name, version_name},
    report::{Code, Fault},
    text::quoted,
    tls::{Broken, Why},
};

/// What the server was asked besides.
#[derive(Debug, Default)]
pub struct Asked {
    /// Everything from TLS 1.0 to 1.2 was offered.
    pub everything: Option<Heard>,
    /// Only what devices take was offered, of TLS 1.2.
    pub modern: Option<Heard>,
    /// It was asked in the clear, as one asks port 80.
    pub in_the_clear: Option<Heard>,
}

const NEEDED: &str = "TLS 1.2 or 1.3 with ECDHE and AES-GCM or ChaCha20.";

/// Each is named only where what was heard leaves no other reading.
pub fn fault(broken: &Broken, asked: &Asked, name: &str) -> Fault {
    let plain = [&asked.everything, &asked.modern, &asked.in_the_clear]
        .into_iter()
        .flatten()
        .find_map(|heard| match heard {
            Heard::PlainHttp(line) => Some(line),
            _ => None,
        });
    if let Some(line) = plain {
        return not_tls(&format!("It speaks HTTP without TLS: {}.", quoted(line)));
    }
    match (&asked.everything, &asked.modern) {
        (Some(Heard::Other(said)), _) if broken.why != Why::Silence => {
            not_tls(&format!("What came instead begins with: {}.", quoted(said)))
        }
        (Some(Heard::Hello(hello)), _) if hello.version < 0x0303 => too_old(hello.version),
        (Some(Heard::Hello(hello)), Some(Heard::Alert(_) | Heard::Closed)) if !hello.is_modern() => {
            old_suites(hello.suite)
        }
        _ => match broken.why {
            Why::Alert(_) if broken.client_certificate_wanted => client_certificate(name),
            Why::Alert(120) => only_http2(),
            Why::Alert(alert) => refused(alert, name),
            _ => undetermined(broken, asked),
        },
    }
}

fn not_tls(what: &str) -> Fault {
    Fault::new(
        Code::NotTls,
        format!("The port is open, but the server there does not speak TLS. {what}"),
    )
    .expected("A TLS handshake on this port.")
    .remedy(
        "Whoever runs the web server turns TLS on for this port: in nginx `listen 443 ssl;`, in Apache \
             `SSLEngine on` in the site of port 443. Or corrects which program gets this port.",
    )
}

fn too_old(version: u16) -> Fault {
    Fault::new(
        Code::TlsTooOld,
        format!("The newest that the server speaks is {}.", version_name(version)),
    )
    .expected(NEEDED)
    .remedy(
        "Whoever runs the web server turns on TLS 1.2 and 1.3: in nginx `ssl_protocols TLSv1.2 TLSv1.3;`, in Apache \
         `SSLProtocol -all +TLSv1.2 +TLSv1.3`, in IIS the SCHANNEL settings of Windows. An old system may need a \
         newer TLS library first, or a proxy in front of it.",
    )
}

fn old_suites(suite: u16) -> Fault {
    Fault::new(
        Code::TlsOldSuites,
        format!(
            "The server speaks TLS 1.2, but only with old cipher suites: it chose {}, and refused when ECDHE with \
             AES-GCM or ChaCha20 alone was offered.",
            suite_name(suite)
        ),
    )
    .expected(NEEDED)
    .remedy(
        "Whoever runs the web server allows ECDHE with AES-GCM: in nginx and Apache the list of Mozilla's \
         configuration generator (“intermediate”), in IIS the order of the cipher suites.",
    )
    .devices("iOS, iPadOS, macOS, visionOS, tvOS, watchOS 27 and later; earlier ones may take ECDHE with CBC.")
}

fn client_certificate(name: &str) -> Fault {
    Fault::new(
        Code::TlsRefused,
        "The server asks for a client certificate and ends the handshake without one.",
    )
    .expected("A handshake without a client certificate: a device has none before it is enrolled.")
    .remedy(format!(
        "Whoever runs the web server stops asking for client certificates on {name}, at least below /.well-known/."
    ))
}

/// Devices may speak it; we don't.
fn only_http2() -> Fault {
    Fault::new(
        Code::Undetermined,
        "The server does not speak HTTP/1.1 (alert no_application_protocol). What it answers over HTTP/2 can't be told from here.",
    )
    .expected("HTTP/1.1 beside newer versions.")
    .remedy("Whoever runs the web server allows HTTP/1.1 too.")
    .devices("Those that do not use HTTP/2 here. Which do is not known.")
}

fn refused(alert: u8, name: &str) -> Fault {
    let (meaning, remedy) = match alert {
        112 => (
            format!("it does not know the name {name}"),
            format!(
                "Whoever runs the web server sets up a site with a certificate for {name}; or corrects the DNS records, if that is not the server that should answer."
            ),
        ),
        40 | 80 => (
            format!(
                "most often because it has no certificate for {name}; or because it shares no version or cipher suite with devices"
            ),
            format!(
                "Whoever runs the web server, or its CDN, sets up {name} with a certificate of its own, and looks into the server's log."
            ),
        ),
        // As an edge of ours refuses a domain that it does not serve.
        49 => (
            format!("it does not want to answer for {name}, as Signpost does not for a domain that is not verified"),
            format!(
                "If the address is Signpost's, whoever registered {name} there takes the step that is still to do, as a rule its ownership record (TXT). If not, whoever runs the web server looks into its log."
            ),
        ),
        70 => (
            "it speaks no version of TLS that devices speak".to_owned(),
            "Whoever runs the web server turns on TLS 1.2 and 1.3.".to_owned(),
        ),
        _ => (
            "why, only its log can say".to_owned(),
            "Whoever runs the web server looks into its log.".to_owned(),
        ),
    };
    Fault::new(
        Code::TlsRefused,
        format!(
            "The server ended the handshake with the alert {}: {meaning}.",
            alert_name(alert)
        ),
    )
    .expected(format!("A handshake, with a certificate for {name}."))
    .remedy(remedy)
}

fn undetermined(broken: &Broken, asked: &Asked) -> Fault {
    let what = match &broken.why {
        Why::Silence => "The server took the connection, but did not finish a TLS handshake in time.".to_owned(),
        Why::Closed => "The server took the connection and closed it during the TLS handshake.".to_owned(),
        Why::Alert(alert) => format!("The server ended the handshake with the alert {}.", alert_name(*alert)),
        Why::Misunderstood(why) => format!("The TLS handshake failed: {}.", quoted(why)),
    };
    let more = match &asked.everything {
        Some(Heard::Hello(hello)) => format!(
            " Asked in the simplest way it offers {} with {}.",
            version_name(hello.version),
            suite_name(hello.suite)
        ),
        _ => String::new(),
    };
    Fault::new(Code::Undetermined, format!("{what}{more} Why can't be told from here."))
        .expected("A TLS handshake.")
        .remedy(
            "Whoever runs the web server looks into its log. A firewall, or a service in front of the server that takes \
             only some addresses or networks, looks the same.",
        )
}

fn alert_name(alert: u8) -> String {
    let name = match alert {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        other => return format!("number {other}"),
    };
    name.to_owned()
}

/// A handshake of TLS 1.2 that ended well, by a server that does not know RFC 7627.
pub fn no_extended_master_secret() -> Fault {
    Fault::new(
        Code::TlsNoExtendedMasterSecret,
        "The server speaks TLS 1.2 at most, and without the Extended Master Secret (RFC 7627).",
    )
    .expected("TLS 1.3, or TLS 1.2 with the Extended Master Secret.")
    .remedy(
        "Whoever runs the web server turns on TLS 1.3, or updates the TLS library (OpenSSL since 1.1.0 \
         and Java since 8u161 have it); on a load balancer or firewall, its firmware.",
    )
    .passable("iOS, iPadOS, macOS, visionOS, tvOS, watchOS 27 and later.")
}

#[cfg(test)]
mod tests {
    use super::super::hello::ServerHello;
    use super::*;

    fn hello(version: u16, suite: u16) -> Heard {
        Heard::Hello(ServerHello {
            version,
            suite,
            extended_master_secret: true,
        })
    }

    fn judged(why: Why, everything: Option<Heard>, modern: Option<Heard>) -> (Code, String) {
        let broken = Broken {
            why,
            client_certificate_wanted: false,
        };
        let asked = Asked {
            everything,
            modern,
            in_the_clear: None,
        };
        let fault = fault(&broken, &asked, "contoso.com");
        (fault.code, fault.detail)
    }

    #[test]
    fn a_broken_handshake_is_named_by_what_the_server_answers_to_an_older_hello() {
        let alert = |number| Some(Heard::Alert(number));
        let plain = || Some(Heard::PlainHttp("HTTP/1.1 400 Bad Request".to_owned()));
        let other = || Some(Heard::Other("SSH-2.0-OpenSSH_9".to_owned()));
        let garbage = || Why::Misunderstood("received corrupt message".to_owned());
        for (why, everything, modern, code, said) in [
            (
                Why::Alert(70),
                Some(hello(0x0302, 0xc013)),
                None,
                Code::TlsTooOld,
                "TLS 1.1",
            ),
            (
                Why::Alert(40),
                Some(hello(0x0301, 0x002f)),
                alert(40),
                Code::TlsTooOld,
                "TLS 1.0",
            ),
            (
                Why::Closed,
                Some(hello(0x0300, 0x0005)),
                None,
                Code::TlsTooOld,
                "SSL 3.0",
            ),
            (
                Why::Alert(40),
                Some(hello(0x0303, 0x002f)),
                alert(40),
                Code::TlsOldSuites,
                "RSA key exchange",
            ),
            (
                Why::Alert(40),
                Some(hello(0x0303, 0xc013)),
                Some(Heard::Closed),
                Code::TlsOldSuites,
                "ECDHE with CBC",
            ),
            (
                Why::Alert(40),
                Some(hello(0x0303, 0x002f)),
                Some(hello(0x0303, 0xc02f)),
                Code::TlsRefused,
                "handshake_failure",
            ),
            (
                Why::Alert(112),
                alert(112),
                alert(112),
                Code::TlsRefused,
                "unrecognized_name",
            ),
            (
                Why::Alert(40),
                alert(40),
                alert(40),
                Code::TlsRefused,
                "no certificate for contoso.com",
            ),
            (Why::Alert(120), alert(120), None, Code::Undetermined, "HTTP/2"),
            (Why::Alert(49), alert(49), None, Code::TlsRefused, "not verified"),
            (Why::Alert(200), alert(200), None, Code::TlsRefused, "number 200"),
            (garbage(), plain(), plain(), Code::NotTls, "HTTP/1.1 400"),
            (garbage(), other(), other(), Code::NotTls, "SSH-2.0"),
            (Why::Silence, Some(Heard::Silence), None, Code::Undetermined, "in time"),
            (Why::Closed, Some(Heard::Closed), None, Code::Undetermined, "closed it"),
            (
                Why::Closed,
                Some(hello(0x0303, 0xc02f)),
                Some(hello(0x0303, 0xc02f)),
                Code::Undetermined,
                "TLS 1.2 with ECDHE",
            ),
            (
                Why::Silence,
                Some(other().unwrap()),
                None,
                Code::Undetermined,
                "in time",
            ),
            (garbage(), None, None, Code::Undetermined, "corrupt"),
        ] {
            let (found, detail) = judged(why, everything, modern);
            assert!(found == code && detail.contains(said), "{found:?} {detail}");
        }
    }

    #[test]
    fn a_server_that_answers_only_when_asked_in_the_clear_does_not_speak_tls() {
        let broken = Broken {
            why: Why::Silence,
            client_certificate_wanted: false,
        };
        let asked = Asked {
            everything: Some(Heard::Silence),
            modern: None,
            in_the_clear: Some(Heard::PlainHttp("HTTP/1.0 200 OK".to_owned())),
        };
        assert_eq!(fault(&broken, &asked, "contoso.com").code, Code::NotTls);
    }

    #[test]
    fn a_client_certificate_that_was_asked_for_explains_an_alert() {
        let broken = Broken {
            why: Why::Alert(40),
            client_certificate_wanted: true,
        };
        let fault = fault(&broken, &Asked::default(), "contoso.com");
        assert!(fault.detail.contains("client certificate"), "{}", fault.detail);
    }
}
