//! The freeze: from applications to the signed commitment. Its yardstick is what PostgreSQL needs to sort the
//! applications with their decisions and to hand them out.

use std::time::{Duration, Instant};

use tests::process::Service;

use crate::{
    Fault,
    report::{Aim, Figure, Line, grouped},
    selection::Selection,
    sql, tell,
};

const LIMIT: Duration = Duration::from_secs(40);
const MEMORY_MAX: Figure = Figure::Memory(1024 * 1024);

/// Freezes the batch.
pub(crate) async fn measure(selection: &Selection) -> Result<Vec<Line>, Fault> {
    let (took, entrants) = selection.freeze().await?;
    tell(&format!("{} entrants", grouped(entrants)));
    let memory = selection.cluster.process(Service::Enrollment);
    let memory = memory.memory_peak_kib().ok_or("enrollment has died")?;
    let limit = Figure::Time(selection.size.share_of(LIMIT));
    Ok(vec![
        Line {
            name: "freeze".to_owned(),
            figure: Figure::Time(took),
            yardstick: Some((
                "applications sorted and out".to_owned(),
                yardstick(selection).await?,
            )),
            aim: Aim::Max(limit),
        },
        Line {
            name: "freeze, memory".to_owned(),
            figure: Figure::Memory(memory),
            yardstick: None,
            aim: Aim::Max(MEMORY_MAX),
        },
    ])
}

async fn yardstick(selection: &Selection) -> Result<Figure, Fault> {
    let mut connection = sql::connect(&selection.cluster, Service::Enrollment).await?;
    let start = Instant::now();
    let query = "SELECT pseudonym, region, groups, household FROM applications \
                 JOIN decisions USING (application_id) WHERE stage = 1 ORDER BY pseudonym";
    sql::copy_out(&mut connection, query).await?;
    let took = start.elapsed();
    Ok(Figure::Time(took))
}
