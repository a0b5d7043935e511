//! The demo's driver: starts the five services and the outside systems, runs a programme through them from the scheme to
//! the next batch, and reports. `deploy/local/demo` is the command for people; it brings the servers up and builds first.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a report is for the terminal"
)]

use std::{error::Error, fs, path::PathBuf, process::ExitCode};

use clap::Parser;
use tests::{
    accounts::Caller,
    cluster::Cluster,
    process::Service,
    stack::{checkout, setting},
};
use tonic::Status;
use tonic_types::StatusExt;

use self::{options::Options, run::Run};

mod cast;
mod format;
mod options;
mod report;
mod run;
mod stages;

/// What payout warns of while the bank misbehaves as it is told to.
const ANNOUNCED: &[&str] = &["a payment without a clear answer"];

/// Whatever ends the demo early.
type Fault = Box<dyn Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match demonstrate(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {}", explain(fault.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate(options: &Options) -> Result<(), Fault> {
    let input = options.open()?;
    if options.check {
        return Ok(());
    }
    let folder = local_folder();
    // The logs of an earlier run would count as this one's.
    if folder.join("demo").exists() {
        fs::remove_dir_all(folder.join("demo"))?;
    }
    let mut builder = Cluster::builder()
        .folder(&folder.join("demo"))
        .seed(options.seed);
    for text in ANNOUNCED {
        builder = builder.allow_log(text);
    }
    let mut cluster = builder.start().await;
    let outcome = Run::of(&mut cluster, options, input).await;
    // A run that failed leaves its cluster to be looked into, and its processes ended.
    let verdict = match outcome {
        Ok(report) => report.print().map_err(Fault::from),
        Err(fault) => Err(fault),
    };
    if let Err(fault) = verdict {
        println!("the logs are in {}", cluster.folder().display());
        cluster.abandon();
        return Err(fault);
    }
    if options.keep {
        cluster.inspect().await;
        print_addresses(&cluster);
        cluster.keep(&folder.join("processes"))?;
    } else {
        cluster.finish().await;
    }
    Ok(())
}

/// Tells all that a fault says; of a service's refusal the text and each field's violation.
fn explain(fault: &(dyn Error + 'static)) -> String {
    let Some(status) = fault.downcast_ref::<Status>() else {
        return fault.to_string();
    };
    let violations = status.get_details_bad_request();
    let violations = violations.into_iter().flat_map(|all| all.field_violations);
    let lines = violations.map(|one| format!("\n  {} {}", one.field, one.description));
    let lines: String = lines.collect();
    format!("{:?}: {}{lines}", status.code(), status.message())
}

/// Returns the folder of the private stack, which `deploy/local/down` looks into.
fn local_folder() -> PathBuf {
    setting("BEKAL_LOCAL_DIR").map_or_else(|| checkout().join(".local"), PathBuf::from)
}

fn print_addresses(cluster: &Cluster) {
    println!("\nit runs on:");
    for service in cluster.services() {
        println!("  {:<12} {}", service.name(), cluster.address(*service));
    }
    println!("  {:<12} {}", "registry", cluster.registry().address());
    println!("  {:<12} {}", "bank", cluster.bank().address());
    println!("  {:<12} {}", "logs", cluster.folder().display());
    let identity = cluster.address(Service::Identity);
    println!(
        "\na token: grpcurl -plaintext -d '{{\"service_account\":{{\"name\":\"{}\",\"secret\":\"{}\"}}}}' {} \
         bekal.identity.v1.TokenService/IssueToken",
        Caller::Operator1.name(),
        cluster.secret(Caller::Operator1),
        identity.trim_start_matches("http://")
    );
    println!(
        "a call:  grpcurl -plaintext -d '{{\"batch\":\"{}\"}}' {} bekal.payout.v1.TreasuryService/TraceFunds",
        run::BATCH,
        cluster
            .address(Service::Payout)
            .trim_start_matches("http://")
    );
    println!("the end: deploy/local/down");
}
