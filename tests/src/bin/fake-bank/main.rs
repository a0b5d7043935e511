//! A bank for tests that speaks SNAP BI, keeps its own book, and loses, delays and reverses on purpose, by seed.
//!
//! `access.rs` lets callers in, `book.rs` keeps accounts and transfers and can never credit a transfer twice, `faults.rs`
//! chooses what goes wrong, `transfers.rs` answers, `callbacks.rs` tells by itself. `tests/README.md` describes the protocol. It listens on loopback only.

use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use ::tests::fakes::{BankAccount, BankFaults, BookEntry, BookSummary, Credit};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    routing::{get, post},
};
use clap::Parser;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{access::Access, book::Book, callbacks::Callbacks, faults::Faults};

mod access;
mod answer;
mod book;
mod callbacks;
mod faults;
mod transfers;

/// A bank for tests.
#[derive(Parser)]
struct Arguments {
    /// Where it listens; loopback only.
    #[arg(long)]
    listen: SocketAddr,
    /// The one client that it knows.
    #[arg(long)]
    client_id: String,
    /// The client's secret, for the HMAC over each transaction.
    #[arg(long)]
    client_secret: String,
    /// The client's RSA public key (SPKI, PEM), for the signature of requests for tokens.
    #[arg(long)]
    public_key: PathBuf,
    /// The accounts that it keeps, one JSON object a line.
    #[arg(long)]
    accounts: Option<PathBuf>,
    /// Where the client takes notices, `http://host:port`; without it nothing is told.
    #[arg(long, requires = "private_key")]
    callback: Option<String>,
    /// The bank's own RSA key (PKCS#8, PEM), for the signature of notices.
    #[arg(long)]
    private_key: Option<PathBuf>,
    /// Decides which transfers meet a fault when some shall.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

struct Bank {
    access: Access,
    faults: Mutex<Faults>,
    book: Mutex<Book>,
    callbacks: Option<Callbacks>,
}

impl Bank {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder panics")
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().expect("no holder panics")
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    if !arguments.listen.ip().is_loopback() {
        return Err("a fake listens on loopback only".into());
    }
    let public_key = fs::read_to_string(&arguments.public_key)?;
    let mut book = Book::default();
    if let Some(path) = &arguments.accounts {
        for (index, line) in fs::read_to_string(path)?.lines().enumerate() {
            let account: BankAccount = serde_json::from_str(line)
                .map_err(|error| format!("{}:{}: {error}", path.display(), index + 1))?;
            book.open_account(account)?;
        }
    }
    let callbacks = match arguments.callback.zip(arguments.private_key) {
        None => None,
        Some((payer, key)) => Some(Callbacks::new(payer, &fs::read_to_string(key)?)?),
    };
    let bank = Arc::new(Bank {
        access: Access::new(arguments.client_id, &arguments.client_secret, &public_key)?,
        faults: Mutex::new(Faults::new(arguments.seed)),
        book: Mutex::new(book),
        callbacks,
    });
    let listener = TcpListener::bind(arguments.listen).await?;
    chassis::task::spawn("callbacks", callbacks::run(Arc::clone(&bank)));
    axum::serve(listener, routes(bank)).await?;
    Ok(())
}

fn routes(bank: Arc<Bank>) -> Router {
    Router::new()
        .route("/openapi/v1.0/access-token/b2b", post(access::issue_token))
        .route(
            "/openapi/v1.0/account-inquiry-external",
            post(transfers::inquire_account),
        )
        .route(
            "/openapi/v1.0/transfer-interbank",
            post(transfers::transfer),
        )
        .route(
            "/openapi/v1.0/transfer/status",
            post(transfers::inquire_status),
        )
        .route("/control/accounts", get(accounts).post(open_accounts))
        .route("/control/book", get(whole_book))
        .route("/control/credits", get(credits))
        .route("/control/summary", get(summary))
        .route("/control/faults", get(faults).post(set_faults))
        .route("/control/reversals", post(reverse))
        .route("/control/time", post(set_time))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(bank)
}

async fn accounts(State(bank): State<Arc<Bank>>) -> Json<Vec<BankAccount>> {
    Json(bank.book().accounts())
}

async fn open_accounts(
    State(bank): State<Arc<Bank>>,
    Json(accounts): Json<Vec<BankAccount>>,
) -> Result<Json<Value>, (axum::http::StatusCode, String)> {
    let count = accounts.len();
    let mut book = bank.book();
    for account in accounts {
        book.open_account(account)
            .map_err(|why| (axum::http::StatusCode::BAD_REQUEST, why))?;
    }
    Ok(Json(json!({ "added": count })))
}

async fn whole_book(State(bank): State<Arc<Bank>>) -> Json<Vec<BookEntry>> {
    Json(bank.book().entries())
}

async fn credits(State(bank): State<Arc<Bank>>) -> Json<Vec<Credit>> {
    Json(bank.book().credits())
}

async fn summary(State(bank): State<Arc<Bank>>) -> Json<BookSummary> {
    let played = bank.faults().played();
    Json(bank.book().summary(played))
}

async fn faults(State(bank): State<Arc<Bank>>) -> Json<BankFaults> {
    Json(bank.faults().wishes().clone())
}

async fn set_faults(State(bank): State<Arc<Bank>>, Json(wishes): Json<BankFaults>) -> Json<Value> {
    bank.faults().replace(wishes);
    Json(json!({}))
}

async fn set_time(State(bank): State<Arc<Bank>>, Json(timestamp): Json<String>) -> Json<Value> {
    bank.access.set_time(&timestamp);
    Json(json!({}))
}

async fn reverse(
    State(bank): State<Arc<Bank>>,
    Json(references): Json<Vec<String>>,
) -> Json<Value> {
    let mut book = bank.book();
    let reversed = references
        .iter()
        .filter(|reference| book.reverse(reference));
    Json(json!({ "reversed": reversed.count() }))
}
