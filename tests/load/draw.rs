//! The draw and the award: from the commitment to participations and their events. Its yardstick is what PostgreSQL needs
//! to give the entrants out and to take so many rows in.

use std::time::{Duration, Instant};

use tests::process::Service;

use crate::{
    Fault,
    report::{Aim, Figure, Line, grouped},
    selection::Selection,
    sql::{self, YARDSTICK},
    tell,
};

const LIMIT: Duration = Duration::from_secs(15);

/// Draws the batch and awards it.
pub(crate) async fn measure(selection: &Selection) -> Result<Vec<Line>, Fault> {
    let (drawn, awarded) = selection.draw_and_award().await?;
    let mut connection = sql::connect(&selection.cluster, Service::Enrollment).await?;
    let count: i64 = sql::value(&mut connection, "SELECT count(*) FROM participations").await?;
    let (count, places) = (count.unsigned_abs(), selection.places);
    if count != places {
        return Err(format!("{count} participations for {places} places").into());
    }
    tell(&format!(
        "{} places: drawn in {}, awarded in {}",
        grouped(places),
        Figure::Time(drawn),
        Figure::Time(awarded),
    ));
    Ok(vec![Line {
        name: "draw and award".to_owned(),
        figure: Figure::Time(drawn + awarded),
        yardstick: Some((
            "COPY entrants out, participations in".to_owned(),
            yardstick(selection).await?,
        )),
        aim: Aim::Max(Figure::Time(selection.size.share_of(LIMIT))),
    }])
}

async fn yardstick(selection: &Selection) -> Result<Figure, Fault> {
    let mut connection = sql::connect(&selection.cluster, Service::Enrollment).await?;
    let columns = sql::columns(&mut connection, "participations", &[]).await?;
    let columns = columns.join(", ");
    let rows = format!("SELECT {columns} FROM participations");
    let rows = sql::copy_out(&mut connection, &rows).await?;
    sql::copy_table(&mut connection, "participations").await?;

    let start = Instant::now();
    sql::copy_out(&mut connection, "SELECT records FROM entrant_runs").await?;
    let target = format!("{YARDSTICK}.participations ({columns})");
    sql::copy_in(&mut connection, &target, &rows).await?;
    Ok(Figure::Time(start.elapsed()))
}
