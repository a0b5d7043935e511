//! Keys and secrets of one run, made fresh so that no test depends on a value that somebody could have kept.

use std::{fs, path::Path};

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::AsDer,
    rand::{self, SystemRandom},
    rsa::{KeyPair, KeySize},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine, engine::general_purpose::STANDARD};

/// Makes 32 random bytes, as 64 hex digits.
pub fn random_hex() -> String {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    hex(&bytes)
}

/// Returns the SHA-256 hash of a text, as 64 hex digits.
pub fn sha256_hex(text: &str) -> String {
    hex(digest(&SHA256, text.as_bytes()).as_ref())
}

/// Writes bytes as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads bytes from hex digits; `None` if they are none.
pub fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pairs = (0..digits.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}

/// Writes a new Ed25519 private key (PKCS#8, PEM), as `openssl genpkey -algorithm ed25519` does.
pub fn write_ed25519_key(path: &Path) {
    let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
    let key = key.expect("a key can be made");
    write_pem(path, "PRIVATE KEY", key.as_ref());
}

/// Writes a new RSA key pair: the private key (PKCS#8, PEM) and the public one (SPKI, PEM).
pub fn write_rsa_key_pair(private: &Path, public: &Path) {
    let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair);
    write_pem(
        private,
        "PRIVATE KEY",
        der.expect("the key can be encoded").as_ref(),
    );
    let der = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(pair.public_key());
    write_pem(
        public,
        "PUBLIC KEY",
        der.expect("the key can be encoded").as_ref(),
    );
}

fn write_pem(path: &Path, label: &str, der: &[u8]) {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line))
        .collect();
    let pem = format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    );
    fs::write(path, pem).expect("the key file can be written");
}

/// Reads the DER bytes of a PEM text; `None` when it is not one.
pub fn read_pem(text: &str) -> Option<Vec<u8>> {
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    STANDARD.decode(body).ok().filter(|der| !der.is_empty())
}
