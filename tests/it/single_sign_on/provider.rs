//! An OpenID provider on loopback that does everything right until a test tells it not to.
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD as BASE64, Engine};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use url::Url;

pub const CLIENT: &str = "signpost";
pub const SECRET: &str = "a secret: with/odd+characters%";

/// How a token is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signing {
    #[default]
    Well,
    /// With another key, under the name of the published one.
    WithAnotherKey,
    /// `alg: none`, and nothing behind the last dot.
    NotAtAll,
    /// HS256, with the published key as the secret.
    WithThePublicKey,
    /// HS256, with the client's secret.
    WithTheSecret,
    /// Well, and then the claims are changed.
    ThenChanged,
}

/// How an endpoint answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Answering {
    #[default]
    Well,
    Endless,
    Silent,
    TooMuch,
    NoJson,
    DeepJson,
    Error,
}

/// What a test may change.
#[derive(Default)]
pub struct Ways {
    pub signing: Signing,
    pub at_token: Answering,
    pub at_keys: Answering,
    pub at_configuration: Answering,
    /// Members of the configuration, beside or instead of the right ones.
    pub configuration: Vec<(&'static str, Value)>,
    codes: BTreeMap<String, Consent>,
}

/// What a code stands for.
struct Consent {
    challenge: String,
    redirect_uri: String,
    claims: Value,
}

pub struct Provider {
    pub issuer: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    issuer: String,
    key: EcdsaKeyPair,
    other_key: EcdsaKeyPair,
    ways: Mutex<Ways>,
}

/// Where somebody was sent, taken apart.
pub struct Sent {
    pub url: Url,
    pub query: BTreeMap<String, String>,
}

impl Sent {
    pub fn parse(url: &str) -> Self {
        let url = Url::parse(url).unwrap();
        let query = url.query_pairs().into_owned().collect();
        Self { url, query }
    }
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let shared = Arc::new(Shared {
            issuer: issuer.clone(),
            key: key(),
            other_key: key(),
            ways: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let state = shared.clone();
        tasks.spawn(async move {
            let mut exchanges = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                exchanges.spawn(exchange(stream, state.clone()));
            }
        });
        Self {
            issuer,
            shared,
            _tasks: tasks,
        }
    }

    pub fn ways(&self) -> MutexGuard<'_, Ways> {
        self.shared.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does everything right again.
    pub fn mend(&self) {
        *self.ways() = Ways::default();
    }

    /// Signs somebody in who was sent here. Returns the code; `more` are claims beside or instead of the right ones.
    pub fn consent(&self, sent: &Sent, more: Value) -> String {
        let now = crate::clock::now().timestamp();
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT, "nonce": sent.query["nonce"], "iat": now, "exp": now + 300,
            "sub": "subject-of-ada", "email": "ada@acme.example", "email_verified": true, "name": "Ada Lovelace",
        });
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => claims.as_object_mut().unwrap().remove(name),
                value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        let code = uuid::Uuid::now_v7().to_string();
        let consent = Consent {
            challenge: sent.query["code_challenge"].clone(),
            redirect_uri: sent.query["redirect_uri"].clone(),
            claims,
        };
        self.ways().codes.insert(code.clone(), consent);
        code
    }
}

impl Shared {
    fn configuration(&self, ways: &Ways) -> Value {
        let at = |path: &str| json!(format!("{}{path}", self.issuer));
        let mut configuration = json!({
            "issuer": self.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/keys"), "response_types_supported": ["code", "id_token"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
            "code_challenge_methods_supported": ["S256"],
        });
        for (name, value) in &ways.configuration {
            configuration[name] = value.clone();
        }
        configuration
    }

    fn keys(&self) -> Value {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        json!({"keys": [
            {"kty": "oct", "kid": "k", "k": "AAAA"},
            {"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "x": BASE64.encode(x), "y": BASE64.encode(y)},
        ]})
    }

    fn token(&self, signing: Signing, claims: &Value) -> String {
        let algorithm = match signing {
            Signing::Well | Signing::WithAnotherKey | Signing::ThenChanged => "ES256",
            Signing::NotAtAll => "none",
            Signing::WithThePublicKey | Signing::WithTheSecret => "HS256",
        };
        let header = json!({"alg": algorithm, "kid": "k", "typ": "JWT"}).to_string();
        let signed = format!("{}.{}", BASE64.encode(&header), BASE64.encode(claims.to_string()));
        let by = |key: &EcdsaKeyPair| {
            let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            signature.as_ref().to_vec()
        };
        let shared = |key: &[u8]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
        };
        let signature = match signing {
            Signing::Well | Signing::ThenChanged => by(&self.key),
            Signing::WithAnotherKey => by(&self.other_key),
            Signing::NotAtAll => Vec::new(),
            Signing::WithThePublicKey => shared(self.key.public_key().as_ref()),
            Signing::WithTheSecret => shared(SECRET.as_bytes()),
        };
        if signing == Signing::ThenChanged {
            let mut other = claims.clone();
            other["sub"] = json!("subject-of-somebody-else");
            let other = format!("{}.{}", BASE64.encode(&header), BASE64.encode(other.to_string()));
            return format!("{other}.{}", BASE64.encode(signature));
        }
        format!("{signed}.{}", BASE64.encode(signature))
    }

    /// RFC 6749 §4.1.3 and RFC 7636 §4.6, to the letter.
    fn redeem(&self, head: &str, body: &str) -> Result<Value, &'static str> {
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let credentials = BASE64_STANDARD.encode(format!("{}:{}", encode(CLIENT), encode(SECRET)));
        if !head
            .to_lowercase()
            .contains(&format!("authorization: basic {credentials}").to_lowercase())
        {
            return Err("invalid_client");
        }
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        let consent = ways.codes.remove(&form["code"]).ok_or("invalid_grant")?;
        let challenge = BASE64.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
        if challenge != consent.challenge || form["redirect_uri"] != consent.redirect_uri {
            return Err("invalid_grant");
        }
        let token = self.token(ways.signing, &consent.claims);
        Ok(json!({"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": token}))
    }
}

async fn exchange(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut request = Vec::new();
    let (head, body) = loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length.split_once("content-length: ").map_or("0", |(_, rest)| rest);
            let length: usize = length.lines().next().unwrap().trim().parse().unwrap();
            if body.len() >= length {
                break (head.to_owned(), body.to_owned());
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => request.extend_from_slice(&piece[..length]),
        }
    };
    let path = head.split(' ').nth(1).unwrap();
    let (answering, status, answer) = {
        let ways = shared.ways.lock().unwrap_or_else(PoisonError::into_inner);
        match path {
            "/.well-known/openid-configuration" => (ways.at_configuration, 200, shared.configuration(&ways)),
            "/keys" => (ways.at_keys, 200, shared.keys()),
            "/token" => (ways.at_token, 0, Value::Null),
            _ => (Answering::Well, 404, json!({})),
        }
    };
    let (status, answer) = match status {
        0 => match shared.redeem(&head, &body) {
            Ok(answer) => (200, answer),
            Err(error) => (
                400,
                json!({"error": error, "error_description": "<script>alert(1)</script>"}),
            ),
        },
        _ => (status, answer),
    };
    let fields = "Content-Type: application/json\r\nConnection: close\r\n";
    let text = match answering {
        Answering::Well => format!("HTTP/1.1 {status} Said\r\n{fields}\r\n{answer}"),
        Answering::NoJson => format!("HTTP/1.1 200 OK\r\n{fields}\r\n<html>{answer}"),
        Answering::DeepJson => format!("HTTP/1.1 200 OK\r\n{fields}\r\n{}", "[".repeat(100_000)),
        Answering::Error => format!("HTTP/1.1 500 Broken\r\n{fields}\r\n{answer}"),
        Answering::TooMuch => format!("HTTP/1.1 200 OK\r\n{fields}\r\n{}{answer}", " ".repeat(300_000)),
        Answering::Endless => format!("HTTP/1.1 200 OK\r\n{fields}\r\n"),
        Answering::Silent => String::new(),
    };
    // Whoever has heard enough hangs up.
    stream.write_all(text.as_bytes()).await.ok();
    match answering {
        Answering::Endless => while stream.write_all(&[b' '; 4096]).await.is_ok() {},
        Answering::Silent => tokio::time::sleep(Duration::from_secs(60)).await,
        _ => {}
    }
}

/// Where nobody listens.
pub async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
