//! The demo's driver: starts the five services and the outside systems, and reports where they are.
//! `deploy/local/demo` is the command for people; it brings the servers up and builds first.

#![expect(clippy::print_stdout, reason = "a report is for the terminal")]

use std::{error::Error, path::PathBuf};

use clap::Parser;
use tests::{
    accounts::Caller,
    cluster::Cluster,
    process::Service,
    stack::{checkout, setting},
};

/// Starts the whole system on this machine.
#[derive(Parser)]
#[command(name = "deploy/local/demo")]
struct Options {
    /// Decides everything that chance decides: people, faults, choices.
    #[arg(long, default_value_t = 2023)]
    seed: u64,
    /// Leaves the system running and prints its addresses; `deploy/local/down` ends it.
    #[arg(long)]
    keep: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let folder = local_folder();
    let cluster = Cluster::builder()
        .folder(&folder.join("demo"))
        .seed(options.seed)
        .start()
        .await;
    if options.keep {
        print_addresses(&cluster);
        cluster.keep(&folder.join("processes"))?;
    } else {
        cluster.finish().await;
    }
    Ok(())
}

/// Returns the folder of the private stack, which `deploy/local/down` looks into.
fn local_folder() -> PathBuf {
    setting("BEKAL_LOCAL_DIR").map_or_else(|| checkout().join(".local"), PathBuf::from)
}

fn print_addresses(cluster: &Cluster) {
    for service in cluster.services() {
        println!("{:<12} {}", service.name(), cluster.address(*service));
    }
    println!("{:<12} {}", "registry", cluster.registry().address());
    println!("{:<12} {}", "bank", cluster.bank().address());
    println!("{:<12} {}", "logs", cluster.folder().display());
    let identity = cluster.address(Service::Identity);
    println!(
        "\na token: grpcurl -plaintext -d '{{\"service_account\":{{\"name\":\"{}\",\"secret\":\"{}\"}}}}' {} \
         bekal.identity.v1.TokenService/IssueToken",
        Caller::Operator1.name(),
        cluster.secret(Caller::Operator1),
        identity.trim_start_matches("http://")
    );
    println!("the end: deploy/local/down");
}
