//! The public's verification of a draw, from its bundle alone. Its yardstick is one SHA-256 over the bundle.

use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use aws_lc_rs::digest::{SHA256, digest};
use tests::{keys::hex, process::memory_peak_kib, stack::binary};
use tokio::{process::Command, time::sleep};

use crate::{
    Fault,
    report::{Aim, Figure, Line, median},
    selection::Selection,
};

const LIMIT: Duration = Duration::from_secs(2);
const MEMORY_MAX: Figure = Figure::Memory(1024 * 1024);
const ROUNDS: usize = 3;

/// Verifies the batch's draw with the published key.
pub(crate) async fn measure(selection: &Selection) -> Result<Vec<Line>, Fault> {
    let bundle = selection.cluster.folder().join("draw.bundle");
    let programme = &selection.programme;
    programme
        .download_bundle(selection.batch(), &bundle)
        .await?;
    let commitment = programme.batch(selection.batch()).await?.commitment;
    let public_key = hex(&commitment
        .ok_or("a drawn batch has a commitment")?
        .public_key);

    let mut rounds = Vec::new();
    let mut yardsticks = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push(verify(&bundle, &public_key).await?);
        let start = Instant::now();
        let _ = digest(&SHA256, &fs::read(&bundle)?);
        yardsticks.push(start.elapsed());
    }
    let took = median(rounds.iter().map(|(took, _)| *took).collect()).unwrap_or_default();
    let memory = rounds
        .iter()
        .map(|(_, memory)| *memory)
        .max()
        .unwrap_or_default();
    let yardstick = median(yardsticks).unwrap_or_default();
    Ok(vec![
        Line {
            name: "verify".to_owned(),
            figure: Figure::Time(took),
            yardstick: Some((
                "read the bundle, one SHA-256".to_owned(),
                Figure::Time(yardstick),
            )),
            aim: Aim::Max(Figure::Time(selection.size.share_of(LIMIT))),
        },
        Line {
            name: "verify, memory".to_owned(),
            figure: Figure::Memory(memory),
            yardstick: None,
            aim: Aim::Max(MEMORY_MAX),
        },
    ])
}

/// Runs the verifier; returns how long it took and its peak of memory in KiB.
async fn verify(bundle: &Path, public_key: &str) -> Result<(Duration, u64), Fault> {
    let start = Instant::now();
    let mut child = Command::new(binary("bekal-verify")?)
        .arg(bundle)
        .args(["--public-key", public_key])
        .stdout(Stdio::null())
        .spawn()?;
    let id = child.id().ok_or("the verifier does not start")?;
    let mut memory = 0;
    // The system tells the peak of a living process alone.
    let status = loop {
        memory = memory_peak_kib(id).unwrap_or(memory);
        tokio::select! {
            status = child.wait() => break status?,
            () = sleep(Duration::from_millis(2)) => {}
        }
    };
    let took = start.elapsed();
    if status.success() {
        Ok((took, memory))
    } else {
        Err("the draw is not valid".into())
    }
}
