//! Starts the bank's fake and steers it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    BankAccount, BankFault, BankFaults, BankRule, BookEntry, BookSummary, Control, Credit,
};
use crate::{
    eventually::{check, eventually},
    keys::{random_hex, write_rsa_key_pair},
    ports::Port,
    process::Process,
};

/// What the payer needs to be let in.
#[derive(Debug)]
pub struct BankAccess {
    /// `X-CLIENT-KEY` and `X-PARTNER-ID`.
    pub client_id: String,
    /// The key of the HMAC over each transaction.
    pub client_secret: String,
    /// The RSA key (PEM) that signs requests for tokens.
    pub private_key_file: PathBuf,
    /// The RSA key (PEM) that the bank's notices are verified with.
    pub public_key_file: PathBuf,
}

/// A running bank.
#[derive(Debug)]
pub struct FakeBank {
    process: Process,
    port: Port,
    access: BankAccess,
    control: Control,
}

impl FakeBank {
    /// Starts a bank without accounts; its chance follows the seed. Its keys and the payer's are made in the folder. The
    /// payer takes notices at `callback`, `host:port`.
    pub async fn start(folder: &Path, seed: u64, callback: SocketAddr) -> FakeBank {
        let port = Port::reserve();
        let access = BankAccess {
            client_id: "bekal-treasury".to_owned(),
            client_secret: random_hex(),
            private_key_file: folder.join("rail-private-key.pem"),
            public_key_file: folder.join("bank-public-key.pem"),
        };
        let public_key = folder.join("rail-public-key.pem");
        write_rsa_key_pair(&access.private_key_file, &public_key);
        let own_key = folder.join("bank-private-key.pem");
        write_rsa_key_pair(&own_key, &access.public_key_file);
        let arguments = [
            "--listen",
            &port.address().to_string(),
            "--client-id",
            &access.client_id,
            "--client-secret",
            &access.client_secret,
            "--public-key",
            &public_key.to_string_lossy(),
            "--private-key",
            &own_key.to_string_lossy(),
            "--callback",
            &format!("http://{callback}"),
            "--seed",
            &seed.to_string(),
        ];
        let process = Process::start("fake-bank", &arguments, &[], folder);
        let control = Control::new(format!("http://{}", port.address()));
        eventually(Duration::from_secs(10), "the bank answers", || async {
            check(
                control.answers("/control/summary").await,
                || "it does not answer",
            )
        })
        .await;
        FakeBank {
            process,
            port,
            access,
            control,
        }
    }

    /// Returns its address, `http://host:port`.
    pub fn address(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Returns what the payer needs.
    pub fn access(&self) -> &BankAccess {
        &self.access
    }

    /// Opens accounts, thousands at a time.
    pub async fn add_accounts(&self, accounts: impl IntoIterator<Item = BankAccount>) {
        let accounts: Vec<_> = accounts.into_iter().collect();
        for some in accounts.chunks(5_000) {
            self.control.post("/control/accounts", some).await;
        }
    }

    /// Replaces all faults.
    pub async fn set_faults(&self, faults: &BankFaults) {
        self.control.post("/control/faults", faults).await;
    }

    /// Makes the next transfer to an account meet a fault, and no other; replaces all faults.
    pub async fn fail_next(&self, account_no: &str, fault: BankFault) {
        let rule = BankRule {
            fault,
            reference: None,
            account_no: Some(account_no.to_owned()),
            times: Some(1),
        };
        let faults = BankFaults {
            rules: vec![rule],
            ..BankFaults::default()
        };
        self.set_faults(&faults).await;
    }

    /// Takes paid transfers back, by reference.
    pub async fn reverse(&self, references: &[&str]) {
        self.control.post("/control/reversals", references).await;
    }

    /// Tells the time that notices are signed with, unless the payer's next request tells another.
    pub async fn set_time(&self, now: OffsetDateTime) {
        let now = now.replace_nanosecond(0).ok();
        let timestamp = now.and_then(|now| now.format(&Rfc3339).ok());
        self.control.post("/control/time", &timestamp).await;
    }

    /// Returns the whole book, by reference ascending.
    pub async fn book(&self) -> Vec<BookEntry> {
        self.control.get("/control/book").await
    }

    /// Returns the whole book, by reference ascending, as short as it can be said.
    pub async fn credits(&self) -> Vec<Credit> {
        self.control.get("/control/credits").await
    }

    /// Returns the book in figures.
    pub async fn summary(&self) -> BookSummary {
        self.control.get("/control/summary").await
    }

    /// Returns all accounts.
    pub async fn accounts(&self) -> Vec<BankAccount> {
        self.control.get("/control/accounts").await
    }

    /// Returns the processor time that it has used so far; `None` when it is gone.
    pub fn processor_time(&self) -> Option<Duration> {
        self.process.processor_time()
    }

    /// Returns its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}
