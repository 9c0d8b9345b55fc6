//! argon2id in memory that is allocated once and reused.

use std::sync::{Mutex, PoisonError};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{self, Output, ParamsString, Salt},
};

use crate::{
    domain::admin::{Password, PasswordHash},
    service::Error,
    store::StoreError,
};

/// Number of 1 KiB blocks for a hash with OWASP's parameters: 19 MiB.
const BLOCKS: usize = Params::DEFAULT.block_count();
/// Maximum memory in KiB and maximum passes of an imported hash. They bound the cost of a login.
const MAX_MEMORY_KIB: u32 = 262_144;
const MAX_PASSES: u32 = 16;
/// Minimum number of 1 KiB blocks that glibc always allocates with `mmap` and unmaps on free,
/// regardless of its dynamic threshold (`M_MMAP_THRESHOLD`).
const MIN_MAPPED_BLOCKS: usize = 33 * 1024;

/// Serializes hashes that cost more than OWASP's parameters.
static LARGE_HASH: Mutex<()> = Mutex::new(());

/// The memory for hashing one password at a time. It is reused, so that page faults do not slow
/// down each hash.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// Runs `work` with `count` blocks. A hash that needs more blocks than are kept gets temporary
    /// ones.
    fn with_blocks<T>(&mut self, count: usize, work: impl FnOnce(&mut [Block]) -> T) -> T {
        if count <= BLOCKS {
            if self.0.is_empty() {
                self.0 = map_blocks(BLOCKS);
            }
            return work(&mut self.0);
        }
        let _one_at_a_time = LARGE_HASH.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut map_blocks(count))
    }

    /// Returns the address of the blocks once they are allocated.
    #[cfg(test)]
    pub fn address(&self) -> Option<*const Block> {
        (!self.0.is_empty()).then_some(self.0.as_ptr())
    }
}

/// Allocates blocks that return to the operating system when they are freed. The unused part of the
/// reservation is never resident.
fn map_blocks(count: usize) -> Vec<Block> {
    let mut blocks = Vec::with_capacity(count.max(MIN_MAPPED_BLOCKS));
    blocks.resize(count, Block::new());
    blocks
}

/// Hashes a password with OWASP's parameters for argon2id: 19 MiB, two passes, one lane.
///
/// # Errors
/// [`Error::Internal`] if argon2 rejects its input.
pub fn hash(memory: &mut Memory, password: &Password, salt: &[u8]) -> Result<PasswordHash, Error> {
    let argon2 = Argon2::default();
    let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
    memory
        .with_blocks(BLOCKS, |blocks| {
            argon2.hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut output, blocks)
        })
        .map_err(internal)?;
    let hash = phc::PasswordHash {
        algorithm: Algorithm::default().ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(argon2.params()).map_err(internal)?,
        salt: Some(Salt::new(salt).map_err(internal)?),
        hash: Some(Output::new(&output).map_err(internal)?),
    };
    Ok(PasswordHash::from_phc(hash.to_string()))
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(error.to_string().into())
}

/// Returns `true` if `hash` is a hash of `password`.
///
/// # Errors
/// [`StoreError::Corrupt`] if the hash is malformed.
pub fn verify(memory: &mut Memory, password: &Password, hash: &PasswordHash) -> Result<bool, Error> {
    let parts = parse(hash).ok_or(StoreError::Corrupt("password hash"))?;
    let is_correct = |candidate: &str| {
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..parts.expected.len()).unwrap_or_default();
        let hashed = memory.with_blocks(parts.argon2.params().block_count(), |blocks| {
            let salt = parts.salt.as_ref();
            parts
                .argon2
                .hash_password_into_with_memory(candidate.as_bytes(), salt, output, blocks)
        });
        // `Output` is compared in constant time.
        hashed.is_ok() && Output::new(output).is_ok_and(|output| output == parts.expected)
    };
    Ok(password.candidates().any(is_correct))
}

/// Returns `true` if passwords can be verified against an imported hash: it is complete, uses
/// argon2id, and stays within the cost limits.
pub fn can_be_verified(hash: &PasswordHash) -> bool {
    parse(hash).is_some_and(|parts| {
        let params = parts.argon2.params();
        parts.algorithm == Algorithm::Argon2id && params.m_cost() <= MAX_MEMORY_KIB && params.t_cost() <= MAX_PASSES
    })
}

struct Parts {
    algorithm: Algorithm,
    argon2: Argon2<'static>,
    salt: Salt,
    expected: Output,
}

fn parse(hash: &PasswordHash) -> Option<Parts> {
    let hash = phc::PasswordHash::new(hash.as_phc()).ok()?;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
    Some(Parts {
        algorithm,
        argon2: Argon2::new(algorithm, version, Params::try_from(&hash).ok()?),
        salt: hash.salt?,
        expected: hash.hash?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text.into()).unwrap()
    }

    #[test]
    fn hashes_match_those_of_the_argon2_crate() {
        use argon2::{PasswordHasher, PasswordVerifier};
        let (mut memory, salt) = (Memory::default(), [7; 16]);
        let ours = hash(&mut memory, &password("correct horse"), &salt).unwrap();
        let theirs = Argon2::default()
            .hash_password_with_salt(b"correct horse", &salt)
            .unwrap();
        assert_eq!(ours.as_phc(), theirs.to_string());
        assert!(
            Argon2::default()
                .verify_password(b"correct horse", ours.as_phc())
                .is_ok()
        );
    }

    #[test]
    fn hashes_with_other_parameters_are_verified() {
        use argon2::PasswordHasher;
        for (m_cost, t_cost, p_cost, length) in [
            (64, 1, 1, 16),
            (19_456, 2, 1, 32),
            (24_000, 1, 2, 32),
            (34_000, 1, 1, 64),
        ] {
            for (algorithm, version) in [
                (Algorithm::Argon2id, Version::V0x13),
                (Algorithm::Argon2id, Version::V0x10),
                (Algorithm::Argon2i, Version::V0x13),
            ] {
                let params = Params::new(m_cost, t_cost, p_cost, Some(length)).unwrap();
                let made = Argon2::new(algorithm, version, params)
                    .hash_password_with_salt(b"right", &[1; 16])
                    .unwrap();
                let made = PasswordHash::from_phc(made.to_string());
                let mut memory = Memory::default();
                assert!(
                    verify(&mut memory, &password("right"), &made).unwrap(),
                    "{}",
                    made.as_phc()
                );
                assert!(
                    !verify(&mut memory, &password("wrong"), &made).unwrap(),
                    "{}",
                    made.as_phc()
                );
                assert_eq!(can_be_verified(&made), algorithm == Algorithm::Argon2id);
            }
        }
    }

    #[test]
    fn memory_is_allocated_once_and_larger_hashes_leave_none_behind() {
        use argon2::PasswordHasher;
        let mut memory = Memory::default();
        let small = hash(&mut memory, &password("right"), &[1; 16]).unwrap();
        let address = memory.address();
        assert!(address.is_some());
        let params = Params::new(40_000, 1, 1, None).unwrap();
        let large = Argon2::from(params)
            .hash_password_with_salt(b"right", &[1; 16])
            .unwrap();
        let large = PasswordHash::from_phc(large.to_string());
        for _ in 0..3 {
            assert!(verify(&mut memory, &password("right"), &large).unwrap());
            assert!(verify(&mut memory, &password("right"), &small).unwrap());
            assert_eq!((memory.address(), memory.0.len()), (address, BLOCKS));
        }
    }

    #[test]
    fn freed_memory_returns_to_the_operating_system() {
        let mut memory = Memory::default();
        hash(&mut memory, &password("right"), &[1; 16]).unwrap();
        assert!(memory.0.capacity() >= MIN_MAPPED_BLOCKS);
    }

    #[test]
    fn invalid_hashes_are_reported_as_corrupt() {
        for text in [
            "",
            "x",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$x",
        ] {
            let hash = PasswordHash::from_phc(text.to_owned());
            assert!(
                verify(&mut Memory::default(), &password("x"), &hash).is_err(),
                "{text:?}"
            );
            assert!(!can_be_verified(&hash), "{text:?}");
        }
    }
}
