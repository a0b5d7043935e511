//! A real portal's feed, run by hand: `JOBS_REAL_FEED` names a folder with `vacancies-indonesia-2024.csv`,
//! `provinces.csv` and `regencies.csv`.

use std::{collections::BTreeMap, path::PathBuf, time::Instant};

use chassis::config::Env;
use proto::r#type::v1::import_row_result::State;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    feed::{Fields, fields, import, import_regions},
    harness::Jobs,
};

fn rows(folder: &str, file: &str) -> Vec<Fields> {
    let mut reader = csv::Reader::from_path(PathBuf::from(folder).join(file)).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[sqlx::test(migrator = "jobs::storage::MIGRATOR")]
#[ignore = "needs a real feed beside the project"]
async fn a_real_feed_is_imported(db: PgPool) {
    let folder: String = Env::from_process()
        .required("JOBS_REAL_FEED")
        .expect("JOBS_REAL_FEED is set");
    let jobs = Jobs::start(db).await;
    let regions: Vec<Fields> = ["provinces.csv", "regencies.csv"]
        .iter()
        .flat_map(|file| rows(&folder, file))
        .map(|row| fields(&[("code", &row["code"]), ("name", &row["name"])]))
        .collect();
    import_regions(&jobs, Uuid::now_v7(), &regions)
        .await
        .unwrap();
    let rows = rows(&folder, "vacancies-indonesia-2024.csv");
    let distinct: std::collections::BTreeSet<&Fields> = rows.iter().collect();

    for _ in 0..2 {
        let started = Instant::now();
        let results = import(&jobs, Uuid::now_v7(), "jobstreet", &rows)
            .await
            .unwrap();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut mapped = [0; 3];
        for result in &results {
            *counts.entry(result.state().as_str_name()).or_default() += 1;
            let unknown = result
                .warnings
                .iter()
                .any(|warning| warning.description.contains("known region"));
            mapped[if unknown {
                2
            } else {
                usize::from(!result.warnings.is_empty())
            }] += 1;
        }
        println!(
            "{counts:?}, regions certain / with a warning / unknown: {mapped:?}, {:?}",
            started.elapsed()
        );

        let created = results
            .iter()
            .filter(|result| result.state() == State::Created)
            .count();
        assert!(created == distinct.len() || created == 0);
    }
}
