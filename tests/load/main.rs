//! The benchmarks' driver: each sets up what it needs, measures the system and its yardstick in the same run, and says
//! whether the aim is met. `tests/load/run` is the command for people; it brings the servers up and builds first.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures are for the terminal"
)]

use std::{error::Error, process::ExitCode};

use clap::{Parser, ValueEnum};
use tests::stack::binaries;

use self::{
    report::{Line, Size, grouped},
    selection::Selection,
};

mod apply;
mod disburse;
mod draw;
mod freeze;
mod fund;
mod pgbench;
mod reconcile;
mod relay;
mod report;
mod seed;
mod selection;
mod sql;
mod sweep;
mod transfer;
mod transfers;
mod verify;

/// Whatever ends a benchmark early.
type Fault = Box<dyn Error + Send + Sync>;

/// Measures the system. `freeze`, `draw` and `verify` share one set-up when they are named together.
#[derive(Debug, Parser)]
#[command(name = "tests/load/run")]
struct Options {
    /// What is measured.
    #[arg(required = true, value_enum)]
    names: Vec<Name>,
    /// How much: calls, transfers, applications, participations, payments, events or lines. Limits of time shrink with it;
    /// the aims are for the default.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000..=20_000_000))]
    size: Option<u64>,
    /// Only checks the options.
    #[arg(long, hide = true)]
    check: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Applying, against pgbench writing the same rows.
    Apply,
    /// Single transfers of many callers, between many accounts and on a hot one, against pgbench doing the same.
    Transfer,
    /// Transfers in calls of 8,190, against pgbench doing one by one.
    Transfers,
    /// The freeze of 5,000,000 applications.
    Freeze,
    /// The draw and the award of 800,000 places among them.
    Draw,
    /// The public's verification of such a draw.
    Verify,
    /// 800,000 awards, from the broker until the ledger has funded them.
    Fund,
    /// 189,436 missed deadlines, until the money is back.
    Sweep,
    /// 1,000,000 payments: batched, approved, sent, settled.
    Disburse,
    /// Outbox to quorum queue, and queue to inbox, against bare publishing and consuming.
    Relay,
    /// A bank statement of 1,000,000 lines against the payments.
    Reconcile,
    /// All of them.
    All,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if options.check {
        return ExitCode::SUCCESS;
    }
    match Box::pin(measure(&options)).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what is asked for, and says whether all aims are met.
async fn measure(options: &Options) -> Result<bool, Fault> {
    if binaries().ends_with("debug") {
        println!("built without optimization: the figures say nothing");
    }
    let wants = |name| options.names.contains(&name) || options.names.contains(&Name::All);
    let mut met = true;
    if wants(Name::Relay) {
        met &= report(relay::measure(size(options, relay::SIZE)).await?);
    }
    if wants(Name::Apply) {
        met &= report(apply::measure(size(options, apply::SIZE)).await?);
    }
    if wants(Name::Transfer) {
        met &= report(transfer::measure(size(options, transfer::SIZE)).await?);
    }
    if wants(Name::Transfers) {
        met &= report(transfers::measure(size(options, transfers::SIZE)).await?);
    }
    if wants(Name::Fund) {
        met &= report(Box::pin(fund::measure(size(options, fund::SIZE))).await?);
    }
    if wants(Name::Sweep) {
        met &= report(Box::pin(sweep::measure(size(options, sweep::SIZE))).await?);
    }
    if wants(Name::Disburse) {
        let size = size(options, disburse::SIZE);
        met &= report(Box::pin(disburse::measure(size)).await?);
    }
    if wants(Name::Reconcile) {
        met &= report(Box::pin(reconcile::measure(size(options, reconcile::SIZE))).await?);
    }
    let stages = [Name::Freeze, Name::Draw, Name::Verify];
    if let Some(last) = stages.into_iter().rfind(|stage| wants(*stage)) {
        let selection = Selection::of_applications(size(options, selection::SIZE)).await?;
        let outcome = select(&selection, last, wants).await;
        met &= selection.end(outcome).await?;
    }
    Ok(met)
}

/// Takes a batch up to a stage, and reports those stages that are wanted.
async fn select(
    selection: &Selection,
    last: Name,
    wants: impl Fn(Name) -> bool,
) -> Result<bool, Fault> {
    let mut met = true;
    let lines = freeze::measure(selection).await?;
    if wants(Name::Freeze) {
        met &= report(lines);
    }
    if last != Name::Freeze {
        let lines = draw::measure(selection).await?;
        if wants(Name::Draw) {
            met &= report(lines);
        }
    }
    if last == Name::Verify {
        met &= report(verify::measure(selection).await?);
    }
    Ok(met)
}

fn size(options: &Options, full: u64) -> Size {
    let size = Size {
        wanted: options.size.unwrap_or(full),
        full,
    };
    if size.wanted != full {
        let (wanted, full) = (grouped(size.wanted), grouped(full));
        println!("size {wanted} instead of {full}: these are not the figures of the aim");
    }
    size
}

fn report(lines: Vec<Line>) -> bool {
    for line in &lines {
        println!("{line}");
    }
    lines.iter().all(Line::is_met)
}

/// Says what is going on, on standard error.
fn tell(text: &str) {
    eprintln!("  {text}");
}
