//! Passwords: which are taken (NIST SP 800-63B §3.1.1), and Argon2id (RFC 9106) on threads of their own that give way
//! to everything else. Knows no user.
mod hasher;

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::sync::oneshot;

use hasher::Hasher;

/// Of a password that is the only factor.
const MIN_CHARACTERS: usize = 15;
/// More is not hashed: whoever sends it only wants us to work.
const MAX_BYTES: usize = 1024;

/// Those who wait for a thread. Beyond it, whoever comes is told to come again.
const WAITING: usize = 100;

/// What is guessed first of what is long enough. Compared without case, spaces and punctuation.
const COMMON: &[&str] = &[
    "correcthorsebatterystaple",
    "passwordpassword",
    "thisismypassword",
    "mypasswordissecure",
    "letmeinletmein",
    "iloveyouiloveyou",
    "qwertyuiopasdfgh",
    "qwertyuiopasdfghjkl",
    "qwertyuiopasdfghjklzxcvbnm",
    "asdfghjklzxcvbnm",
    "1qaz2wsx3edc4rfv",
    "1qaz2wsx3edc4rfv5tgb",
    "1q2w3e4r5t6y7u8i",
    "q1w2e3r4t5y6u7i8",
    "abcdefghijklmno",
    "abcdefghijklmnopqrstuvwxyz",
    "changemechangeme",
    "administrator123",
    "welcomewelcome1",
    "trustno1trustno1",
    "supersecretpassword",
    "ilovemyfamily123",
    "passwordpassword1",
    "adminadminadmin",
    "secretsecretsecret",
];

/// A password that may be set. Has no `Debug`.
pub struct NewPassword(String);

impl NewPassword {
    /// `about` is what an attacker knows of its owner: address, name, organisation.
    pub fn parse(text: &str, about: &[&str]) -> Result<Self, &'static str> {
        if text.chars().count() < MIN_CHARACTERS {
            return Err("needs at least 15 characters: a few words that only you would put together");
        }
        if text.len() > MAX_BYTES {
            return Err("must have at most 1024 bytes");
        }
        if text.contains('\0') {
            return Err("must not hold a null character");
        }
        let plain = plain(text);
        if COMMON.contains(&plain.as_str()) || is_repetition(&plain) || is_run(&plain) {
            return Err("is among those that are guessed first: choose another");
        }
        if about.iter().any(|known| is_made_of(&plain, known)) {
            return Err("is made of your own name or address: choose another");
        }
        Ok(Self(text.to_owned()))
    }
}

/// Without what people add because a form asks for it.
fn plain(text: &str) -> String {
    let kept = text.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// `abcabcabcabcabc`, `aaaaaaaaaaaaaaa`.
fn is_repetition(plain: &str) -> bool {
    let characters: Vec<char> = plain.chars().collect();
    (1..=characters.len() / 3).any(|length| {
        let unit = &characters[..length];
        characters.chunks(length).all(|chunk| unit.starts_with(chunk))
    })
}

/// `123456789012345`, `zyxwvutsrqponmlkj`.
fn is_run(plain: &str) -> bool {
    let steps: Vec<i64> = plain
        .chars()
        .zip(plain.chars().skip(1))
        .map(|(one, next)| i64::from(u32::from(next)) - i64::from(u32::from(one)))
        .collect();
    [1, -1].iter().any(|step| {
        let others = steps.iter().filter(|other| *other != step).count();
        steps.len() >= 9 && others * 5 <= steps.len()
    })
}

/// Nothing but what is known, and fewer than six characters more.
fn is_made_of(plain: &str, known: &str) -> bool {
    let words = known.split(|c: char| !c.is_alphanumeric()).map(self::plain);
    let whole = std::iter::once(self::plain(known));
    let mut rest = plain.to_owned();
    let mut longest_first: Vec<String> = whole.chain(words).filter(|word| word.len() >= 4).collect();
    longest_first.sort_by_key(|word| std::cmp::Reverse(word.len()));
    for word in &longest_first {
        rest = rest.replace(word.as_str(), "");
    }
    rest.len() < plain.len() && rest.chars().count() < 6
}

/// Too many are at it: come again in a few seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many people sign in at this moment")]
pub struct Busy;

enum Work {
    Hash(String, oneshot::Sender<String>),
    /// With what is stored; nobody has nothing stored.
    Verify(String, Option<String>, oneshot::Sender<bool>),
}

/// Threads that hash. They give way to everything else, so that devices wait as little as can be for somebody's password.
pub struct Passwords {
    queue: mpsc::SyncSender<Work>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::with_threads((cores / 2).max(1))
    }
}

impl Passwords {
    /// Without a thread everybody is told to come again.
    #[must_use]
    pub fn with_threads(threads: usize) -> Self {
        let (queue, work) = mpsc::sync_channel(WAITING);
        let work = Arc::new(Mutex::new(work));
        for _ in 0..threads {
            let work = work.clone();
            let thread = thread::Builder::new().name("passwords".into());
            // One that can't be had is done without.
            thread.spawn(move || run(&work)).ok();
        }
        Self { queue }
    }

    pub async fn hash(&self, password: NewPassword) -> Result<String, Busy> {
        let (answer, hashed) = oneshot::channel();
        self.queue.try_send(Work::Hash(password.0, answer)).map_err(|_| Busy)?;
        hashed.await.map_err(|_| Busy)
    }

    /// Takes as long for nobody (`None`) as for somebody.
    pub async fn is_right(&self, password: String, stored: Option<&str>) -> Result<bool, Busy> {
        if password.len() > MAX_BYTES {
            return Ok(false);
        }
        let (answer, verified) = oneshot::channel();
        let work = Work::Verify(password, stored.map(str::to_owned), answer);
        self.queue.try_send(work).map_err(|_| Busy)?;
        verified.await.map_err(|_| Busy)
    }
}

/// Ends when there is nobody left to ask.
fn run(work: &Mutex<mpsc::Receiver<Work>>) {
    // Refused where priorities are not ours to lower: then it is as fast as the rest.
    give_way().ok();
    let mut hasher = Hasher::default();
    let nobodys = hasher.hash("nobody's").unwrap_or_default();
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(Work::Hash(password, answer)) => {
                if let Some(hash) = hasher.hash(&password) {
                    answer.send(hash).ok();
                }
            }
            // Whoever asked has gone.
            Ok(Work::Verify(_, _, answer)) if answer.is_closed() => {}
            Ok(Work::Verify(password, stored, answer)) => {
                let is_right = hasher.is_right(&password, stored.as_deref().unwrap_or(&nobodys));
                answer.send(is_right && stored.is_some()).ok();
            }
            Err(mpsc::RecvError) => return,
        }
    }
}

/// Of this thread: it runs while nobody else wants to, and stops as soon as somebody does (`SCHED_IDLE`). A high nice
/// value alone lets it finish its slice, and a device's request waits for that.
fn give_way() -> Result<(), thread_priority::Error> {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: [&str; 3] = ["ada@contoso.example", "Ada Lovelace", "Contoso Consulting"];

    #[test]
    fn what_is_short_common_or_known_of_its_owner_is_no_password() {
        for text in [
            "short",
            "14 characters!",
            "Correct-Horse-Battery-Staple",
            "Password Password!",
            "aaaaaaaaaaaaaaaaaa",
            "abcabcabcabcabcabc",
            "1234567890123456",
            "1234567890 123456 !!",
            "987654321098765432",
            "zyxwvutsrqponmlk",
            "ada@contoso.example",
            "Ada Lovelace Ada Lovelace",
            "Contoso Consulting 26!",
            "a null \0 within it",
            &"x".repeat(1025),
        ] {
            assert!(NewPassword::parse(text, &ABOUT).is_err(), "{text}");
        }
        for text in [
            "a hat for every goose",
            "Lovelace likes 17 purple engines",
            "exactly15chars!",
            "пароль для своих гусей",
            "one-long-password-4-tests",
        ] {
            assert!(NewPassword::parse(text, &ABOUT).is_ok(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_password_is_right_or_not_and_nobody_has_none() {
        let passwords = Passwords::default();
        let text = "a hat for every goose";
        let Ok(password) = NewPassword::parse(text, &[]) else {
            panic!("it is one")
        };
        let stored = passwords.hash(password).await.expect("nobody else asks");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        for (text, stored, expected) in [
            (text, Some(stored.as_str()), true),
            ("a hat for every geese", Some(stored.as_str()), false),
            ("", Some(stored.as_str()), false),
            (text, Some("nonsense"), false),
            ("nobody's", None, false),
            (&"x".repeat(100_000), Some(stored.as_str()), false),
        ] {
            assert_eq!(
                passwords.is_right(text.to_owned(), stored).await,
                Ok(expected),
                "{text:.30}"
            );
        }
    }

    #[tokio::test]
    async fn more_than_can_be_hashed_are_told_to_come_again() {
        let passwords = Passwords::default();
        let attempts = (0..3 * WAITING).map(|_| passwords.is_right("a".to_owned(), None));
        let mut attempts: Vec<_> = attempts.map(Box::pin).collect();
        let mut busy = 0;
        for attempt in &mut attempts {
            if let Some(Err(Busy)) = futures_util::FutureExt::now_or_never(attempt) {
                busy += 1;
            }
        }
        assert!((WAITING..3 * WAITING).contains(&busy), "{busy}");
    }
}
