//! Argon2id (RFC 9106), in memory that is kept: to get 19 MiB from the kernel and give them back for each password is work
//! that the kernel does not interrupt for a device.
use argon2::{
    Algorithm, Argon2, Block, Params,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;

/// Memory in KiB and passes: the first of OWASP's recommended settings with one lane.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;

/// One thread's.
#[derive(Default)]
pub struct Hasher {
    memory: Vec<Block>,
}

impl Hasher {
    /// As a PHC string.
    pub fn hash(&mut self, password: &str) -> Option<String> {
        let params = Params::new(MEMORY, PASSES, 1, Some(Params::DEFAULT_OUTPUT_LEN)).ok()?;
        let (written, salt) = (ParamsString::try_from(&params).ok()?, Salt::generate());
        let argon2 = Argon2::from(params);
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        self.fill(&argon2, (password, &salt), &mut output)?;
        let hash = PasswordHash {
            algorithm: Algorithm::default().ident(),
            version: Some(argon2::Version::default().into()),
            params: written,
            salt: Some(salt),
            hash: Some(Output::new(&output).ok()?),
        };
        Some(hash.to_string())
    }

    /// With the parameters that are written in the hash. What is no hash is nobody's password.
    pub fn is_right(&mut self, password: &str, stored: &str) -> bool {
        self.compare(password, stored).unwrap_or(false)
    }

    fn compare(&mut self, password: &str, stored: &str) -> Option<bool> {
        let stored = PasswordHash::new(stored).ok()?;
        let (salt, expected) = (stored.salt?, stored.hash?);
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
        let version = argon2::Version::try_from(stored.version?).ok()?;
        let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored).ok()?);
        let mut output = vec![0; expected.len()];
        self.fill(&argon2, (password, &salt), &mut output)?;
        Some(output.ct_eq(expected.as_bytes()).into())
    }

    fn fill(&mut self, argon2: &Argon2<'_>, (password, salt): (&str, &Salt), output: &mut [u8]) -> Option<()> {
        let blocks = argon2.params().block_count();
        if self.memory.len() < blocks {
            self.memory.resize(blocks, Block::default());
        }
        let memory = &mut self.memory[..blocks];
        argon2
            .hash_password_into_with_memory(password.as_bytes(), salt, output, memory)
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    use super::*;

    #[test]
    fn what_the_library_hashes_is_right_and_the_reverse() {
        let mut hasher = Hasher::default();
        let ours = hasher.hash("a hat for every goose").unwrap();
        assert!(
            Argon2::default()
                .verify_password(b"a hat for every goose", &*ours)
                .is_ok()
        );
        assert!(
            Argon2::default()
                .verify_password(b"a hat for every geese", &*ours)
                .is_err()
        );
        // Smaller and larger than what stands in the memory already.
        for memory in [8, 64, 20 * 1024] {
            let params = Params::new(memory, 1, 1, None).unwrap();
            let theirs = Argon2::from(params)
                .hash_password(b"a hat for every goose")
                .unwrap()
                .to_string();
            assert!(hasher.is_right("a hat for every goose", &theirs), "{memory}");
            assert!(!hasher.is_right("a hat for every geese", &theirs), "{memory}");
        }
        assert!(hasher.is_right("a hat for every goose", &ours));
        for nonsense in [
            "",
            "nonsense",
            "$argon2id$v=19$m=19456,t=2,p=1$",
            "$scrypt$ln=1,r=8,p=1$c2FsdHNhbHQ$aGFzaA",
        ] {
            assert!(!hasher.is_right("", nonsense), "{nonsense}");
        }
    }
}
