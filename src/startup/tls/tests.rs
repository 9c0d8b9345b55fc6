//! Tests of the reload, call by call.

use std::{fs, path::Path};

use clap::Parser;
use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    symm::Cipher,
    x509::X509,
};
use tempfile::TempDir;

use super::*;

/// The year 2100.
const FUTURE: i64 = 4_102_444_800;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    serve: ServeSettings,
}

/// Writes a pair that is valid until so many days after 2100. Returns its key.
fn write(directory: &Path, days: i64) -> PKey<Private> {
    let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut certificate = X509::builder().unwrap();
    certificate.set_pubkey(&key).unwrap();
    certificate.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
    certificate
        .set_not_after(&Asn1Time::from_unix(FUTURE + days * 86_400).unwrap())
        .unwrap();
    certificate.sign(&key, MessageDigest::sha256()).unwrap();
    fs::write(directory.join("chain"), certificate.build().to_pem().unwrap()).unwrap();
    fs::write(directory.join("key"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    key
}

fn open(directory: &TempDir) -> Result<Option<Arc<Tls>>, StartError> {
    let [chain, key] = ["chain", "key"].map(|name| directory.path().join(name).display().to_string());
    let flags = Flags::parse_from(["tokenbridge", "--tls-cert", &chain, "--tls-key", &key]);
    Tls::open(&flags.serve)
}

#[tokio::test]
async fn a_half_written_pair_settles_without_an_error() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), 10);
    let tls = open(&directory).unwrap().unwrap();
    let (first, old_key) = (tls.expiry.get(), fs::read(directory.path().join("key")).unwrap());
    write(directory.path(), 20);
    let new_key = fs::read(directory.path().join("key")).unwrap();
    fs::write(directory.path().join("key"), old_key).unwrap();
    tls.reload_if_changed().await;
    assert_eq!((tls.expiry.get(), tls.is_reload_successful.get()), (first, 1));
    fs::write(directory.path().join("key"), new_key).unwrap();
    tls.reload_if_changed().await;
    assert_eq!((first, tls.expiry.get()), (FUTURE + 10 * 86_400, FUTURE + 20 * 86_400));
    tls.reload_if_changed().await;
    assert_eq!(tls.is_reload_successful.get(), 1);
}

#[tokio::test]
async fn a_failure_is_reported_once_after_the_files_have_settled() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), 10);
    let tls = open(&directory).unwrap().unwrap();
    let is_pending = || tls.watch.lock().unwrap().failure.is_some();
    fs::remove_file(directory.path().join("key")).unwrap();
    tls.reload_if_changed().await;
    assert!(is_pending() && tls.is_reload_successful.get() == 1);
    for _ in 0..3 {
        tls.reload_if_changed().await;
        assert!(!is_pending() && tls.is_reload_successful.get() == 0);
    }
    write(directory.path(), 10);
    tls.reload_if_changed().await;
    assert_eq!(tls.is_reload_successful.get(), 1);
}

#[test]
fn unusable_pairs_are_explained() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (directory.path().join("chain"), directory.path().join("key"));
    let error = || open(&directory).err().expect("the pair is refused").to_string();
    assert!(error().contains("cannot read "), "{}", error());
    let of_other = write(directory.path(), 10);
    let other = of_other.private_key_to_pem_pkcs8().unwrap();
    let own = write(directory.path(), 10);
    let encrypted = own.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"secret");
    let encrypted = encrypted.unwrap();
    for (content, expected) in [
        (&other, "does not belong to the first certificate in"),
        (&encrypted, "is encrypted; remove its passphrase"),
        (&fs::read(&chain).unwrap(), "contains no private key in PEM format"),
    ] {
        fs::write(&key, content).unwrap();
        assert!(error().contains(expected), "{}", error());
    }
    fs::write(&chain, own.private_key_to_pem_pkcs8().unwrap()).unwrap();
    assert!(error().contains("contains no certificate in PEM format"), "{}", error());
}
