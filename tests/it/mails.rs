//! Mails on their way from the outbox to a mail server.
use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use chrono::{DateTime, TimeDelta, Utc};
use signpost::{
    mail::{Mail, Mailer},
    outbox::{self, Postman},
    sealed::Keyring,
};
use sqlx::PgPool;

use crate::{
    app::{TestApp, eventually},
    people::{PASSWORD, leads_to},
    smtp::MailServer,
};

const TO: &str = "ada@msp.example";
const FROM: &str = "Signpöst <signpost@hosting.example>";

/// A postman who gives up on silence at once.
fn postman(app: &TestApp, server: &MailServer) -> Postman {
    Postman {
        pool: app.pool.clone(),
        keyring: app.running.keyring(),
        mailer: Mailer::with_timeout(&server.url(), FROM, Duration::from_millis(200)).unwrap(),
    }
}

async fn post(pool: &PgPool, keyring: &Keyring, mail: &Mail) {
    let mut db = pool.acquire().await.unwrap();
    outbox::post(&mut db, keyring, None, mail, crate::clock::database_now())
        .await
        .unwrap();
}

fn mail() -> Mail {
    Mail {
        to: TO.to_owned(),
        subject: "Confirm your address".to_owned(),
        text: "Hello.\n".to_owned(),
    }
}

/// Attempts, the last error, when it is due, whether it is sent, whether it is given up.
type State = (i32, Option<String>, DateTime<Utc>, bool, bool);

async fn state(pool: &PgPool) -> State {
    sqlx::query_as("select attempts, last_error, due_at, sent_at is not null, given_up_at is not null from outbox")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// What is logged while it lives, by this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[sqlx::test]
async fn a_mail_is_brought_once_however_many_nodes_there_are(pool: PgPool) {
    let server = MailServer::start();
    let url = server.url();
    let settings = [("SIGNPOST_SMTP_URL", url.as_str()), ("SIGNPOST_MAIL_FROM", FROM)];
    let one = TestApp::start_with(pool.clone(), &settings).await;
    // The nodes of one installation have one secret key.
    let key = one.state_dir.join("secret.key");
    let key = key.to_str().unwrap();
    let other = TestApp::start_with(
        pool.clone(),
        &[settings[0], settings[1], ("SIGNPOST_SECRET_KEY_FILE", key)],
    )
    .await;
    let people: Vec<_> = (0..20).map(|number| format!("person-{number}@msp.example")).collect();
    for email in &people {
        let person = one.person();
        let fields = [
            ("organisation", "Acme IT"),
            ("name", "Ada Lovelace"),
            ("email", email.as_str()),
            ("password", PASSWORD),
        ];
        assert_eq!(leads_to(&person.submit("/sign-up", &fields).await), "/sign-up/sent");
    }
    let unsent = || async {
        sqlx::query_scalar::<_, i64>("select count(*) from outbox where sent_at is null")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    eventually(|| async { unsent().await == 0 }).await;
    let mut to: Vec<_> = server.received().into_iter().flat_map(|mail| mail.to).collect();
    to.sort();
    let mut wanted: Vec<_> = people.iter().map(|email| format!("TO:<{email}>")).collect();
    wanted.sort();
    assert_eq!(to, wanted);
    one.stop().await;
    other.stop().await;
}

#[sqlx::test]
async fn a_mail_that_is_not_taken_now_is_brought_later(pool: PgPool) {
    let (app, server) = (TestApp::start(pool.clone()).await, MailServer::start());
    let postman = postman(&app, &server);
    post(&pool, &postman.keyring, &mail()).await;
    let (log, mut now) = (Log::default(), crate::clock::now());
    let listening = log.listen();
    server.answer("451 4.7.1 <ada@msp.example> is greylisted");
    server.answer("421 too many connections");
    for (attempts, words) in [(1, "it answers 451"), (2, "it answers 421")] {
        assert_eq!(postman.round(crate::clock::assume(now)).await.unwrap(), 1);
        let (tried, error, due_at, is_sent, is_over) = state(&pool).await;
        let error = error.unwrap();
        assert!(error.ends_with(words), "{error}");
        assert_eq!((tried, is_sent, is_over), (attempts, false, false));
        assert_eq!(
            postman.round(crate::clock::assume(now)).await.unwrap(),
            0,
            "not before it is due"
        );
        assert!(due_at > now + TimeDelta::minutes(1));
        now = due_at;
    }
    // A server that takes the connection and says nothing.
    server.be_silent(true);
    assert_eq!(postman.round(crate::clock::assume(now)).await.unwrap(), 1);
    let (tried, error, due_at, ..) = state(&pool).await;
    assert_eq!(tried, 3);
    assert!(error.unwrap().contains("does not take it now"));
    server.be_silent(false);
    assert_eq!(postman.round(crate::clock::assume(due_at)).await.unwrap(), 1);
    let (_, _, _, is_sent, is_over) = state(&pool).await;
    assert_eq!((is_sent, is_over, server.received().len()), (true, false, 1));
    assert_eq!(
        postman
            .round(crate::clock::assume(due_at + TimeDelta::days(1)))
            .await
            .unwrap(),
        0
    );
    drop(listening);
    assert!(log.text().contains("a mail is not sent"), "{}", log.text());
    for personal in [TO, "msp.example", "Confirm your address"] {
        assert!(!log.text().contains(personal), "{personal}: {}", log.text());
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_mail_that_is_refused_for_good_is_given_up(pool: PgPool) {
    let (app, server) = (TestApp::start(pool.clone()).await, MailServer::start());
    let postman = postman(&app, &server);
    post(&pool, &postman.keyring, &mail()).await;
    let (log, now) = (Log::default(), crate::clock::now());
    let listening = log.listen();
    server.answer("550 5.1.1 <ada@msp.example>: no such mailbox");
    assert_eq!(postman.round(crate::clock::assume(now)).await.unwrap(), 1);
    let (tried, error, _, is_sent, is_over) = state(&pool).await;
    assert_eq!((tried, is_sent, is_over), (1, false, true));
    assert_eq!(
        error.as_deref(),
        Some("the mail server refuses it for good: it answers 550")
    );
    assert_eq!(
        postman
            .round(crate::clock::assume(now + TimeDelta::days(2)))
            .await
            .unwrap(),
        0
    );
    drop(listening);
    assert!(
        log.text().contains("550") && !log.text().contains("msp.example"),
        "{}",
        log.text()
    );
    app.stop().await;
}

#[sqlx::test]
async fn any_language_arrives_whole_and_a_mail_says_nothing_of_the_machine_that_sent_it(pool: PgPool) {
    let (app, server) = (TestApp::start(pool.clone()).await, MailServer::start());
    let postman = postman(&app, &server);
    let text = "Grüße aus Köln.\n.\n..\nEine Zeile mit 雪 und 🦊.\n";
    let subject = "Bestätigen Sie Ihre Adresse ✓";
    for subject in [subject, "Hello\r\nBcc: eve@evil.example"] {
        let mail = Mail {
            subject: subject.to_owned(),
            text: text.to_owned(),
            ..mail()
        };
        post(&pool, &postman.keyring, &mail).await;
    }
    let id: uuid::Uuid = sqlx::query_scalar("select outbox_id from outbox order by outbox_id limit 1")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(postman.round(crate::clock::database_now()).await.unwrap(), 2);
    let received = server.received();
    assert_eq!(received.len(), 2);
    for mail in &received {
        assert!(mail.data.is_ascii(), "{}", mail.data);
        assert_eq!(mail.to, [format!("TO:<{TO}>")], "nobody else gets it");
        assert_eq!(mail.hello, "hosting.example");
        let (head, body) = mail.data.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        // The wire ends the last line once more.
        assert_eq!(decoded(head, body).trim_end(), text.trim_end());
        for machine in ["localhost", "127.0.0.1", "lettre"] {
            assert!(!mail.data.contains(machine), "{machine}: {}", mail.data);
        }
    }
    let first = received
        .iter()
        .find(|mail| mail.data.contains(&format!("Message-ID: <{id}@hosting.example>")));
    let head = &first.expect("a mail has its own name").data;
    let words: Vec<_> = head
        .split("=?utf-8?b?")
        .skip(1)
        .map(|word| word.split("?=").next().unwrap())
        .collect();
    let words: Vec<_> = words.iter().map(|word| BASE64_STANDARD.decode(word).unwrap()).collect();
    let words = String::from_utf8(words.concat()).unwrap();
    // Words that are ASCII stand as they are between those that are not.
    for word in ["Signpöst", "Bestätigen", "✓"] {
        assert!(words.contains(word), "{word}: {words}");
    }
    assert!(head.contains("Sie Ihre Adresse"), "{head}");
    app.stop().await;
}

/// The text of a mail, whichever of the two encodings it has.
fn decoded(head: &str, body: &str) -> String {
    if head.contains("Content-Transfer-Encoding: base64") {
        let body: String = body.split_whitespace().collect();
        return String::from_utf8(BASE64_STANDARD.decode(body).unwrap())
            .unwrap()
            .replace("\r\n", "\n");
    }
    assert!(head.contains("Content-Transfer-Encoding: quoted-printable"), "{head}");
    let (mut bytes, mut rest) = (Vec::new(), body.replace("=\r\n", "").into_bytes().into_iter());
    while let Some(byte) = rest.next() {
        match byte {
            b'=' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
}
