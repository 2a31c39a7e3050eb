//! A mail server on loopback that speaks SMTP (RFC 5321) and answers as a test wants it to.
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A mail as it arrived.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// How the sender named itself.
    pub hello: String,
    pub from: String,
    pub to: Vec<String>,
    /// Headers and text, as bytes that the wire had.
    pub data: String,
}

#[derive(Default)]
struct State {
    received: Mutex<Vec<Received>>,
    /// What the next recipients are answered; when it is empty, they are taken.
    replies: Mutex<VecDeque<String>>,
    /// Connections to which nothing is ever said.
    silent: Mutex<Vec<TcpStream>>,
    is_silent: Mutex<bool>,
}

pub struct MailServer {
    pub address: SocketAddr,
    state: Arc<State>,
}

impl MailServer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        // Ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = shared.clone();
                if *state.is_silent.lock().unwrap() {
                    state.silent.lock().unwrap().push(stream);
                } else {
                    thread::spawn(move || talk(stream, &state));
                }
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The next recipient is answered so, in place of being taken.
    pub fn answer(&self, reply: &str) {
        self.state.replies.lock().unwrap().push_back(reply.to_owned());
    }

    /// From now on it takes connections and says nothing.
    pub fn be_silent(&self, is_silent: bool) {
        *self.state.is_silent.lock().unwrap() = is_silent;
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }
}

/// One conversation, until either side has enough of it.
fn talk(stream: TcpStream, state: &State) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    let say = |text: &str| (&stream).write_all(format!("{text}\r\n").as_bytes()).ok();
    let mut mail = Received::default();
    say("220 mail.example ESMTP")?;
    loop {
        let line = read(&mut lines)?;
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                rest.clone_into(&mut mail.hello);
                say("250-mail.example")?;
                say("250 SIZE 1000000")?;
            }
            "MAIL" => {
                rest.clone_into(&mut mail.from);
                say("250 fine")?;
            }
            "RCPT" => {
                let reply = state.replies.lock().unwrap().pop_front();
                if reply.is_none() {
                    mail.to.push(rest.to_owned());
                }
                say(reply.as_deref().unwrap_or("250 fine"))?;
            }
            "DATA" => {
                say("354 go on")?;
                loop {
                    let line = read(&mut lines)?;
                    if line == "." {
                        break;
                    }
                    // RFC 5321 §4.5.2: a dot before a dot.
                    mail.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.data.push_str("\r\n");
                }
                state.received.lock().unwrap().push(std::mem::take(&mut mail));
                say("250 taken")?;
            }
            "RSET" | "NOOP" => say("250 fine")?,
            "QUIT" => {
                say("221 bye")?;
                return None;
            }
            _ => say("502 not that")?,
        }
    }
}

fn read(lines: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match lines.read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}
