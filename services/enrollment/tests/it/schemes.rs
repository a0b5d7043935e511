//! Loading schemes, and running one of another country.

use std::collections::HashMap;

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::{
    enrollment::v1 as pb,
    identity::v1::{Fact, PersonFacts},
    r#type::v1::{Date, Money},
};
use sqlx::PgPool;
use time::macros::datetime;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    peers::{flag, int, person, text, timestamp},
    world::{SCHEME_2023, World, assert_refused, fields, plan, request_id},
};

const SCHEME_2020: &str = include_str!("../../../../deploy/schemes/prakerja-2020.toml");
const SKILLS_VOUCHER: &str = include_str!("../../../../deploy/schemes/skills-voucher-2027.toml");

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_shipped_scheme_is_loaded_and_can_be_read(db: PgPool) {
    let world = World::start(db).await;

    let imported = world.import(SCHEME_2023).await.unwrap();
    let request = pb::GetSchemeRequest {
        name: "schemes/prakerja-2023".to_owned(),
    };
    let read = world
        .schemes()
        .get_scheme(request)
        .await
        .unwrap()
        .into_inner();

    assert_eq!(read, imported);
    assert_eq!(read.training_balance.unwrap().units, 3_500_000);
    assert_eq!(read.incentives.len(), 2);
    assert_eq!(read.first_purchase_days, 15);
    assert_eq!(read.completion_rule.unwrap().attendance_permille_min, 1000);
    assert_eq!(read.languages, ["id", "en"]);
    assert_eq!(read.next_purchase_days, 15);
    let last_purchase = read.year_ends[0].purchase_date;
    let expected = Date {
        year: 2023,
        month: 10,
        day: 31,
    };
    assert_eq!(last_purchase, Some(expected));
    let declared = |name: &str| {
        let fact = read.facts.iter().find(|fact| fact.name == name).unwrap();
        (fact.r#type.as_str(), fact.default_value.as_str())
    };
    assert_eq!(declared("age_years"), ("int", ""));
    assert_eq!(declared("listed_students"), ("bool", "false"));
    let reasons: Vec<&str> = read.rules.iter().map(|rule| rule.reason.as_str()).collect();
    assert_eq!(
        reasons[..3],
        [
            "PERSON_NOT_VERIFIED",
            "ALREADY_RECIPIENT",
            "AGE_OUT_OF_RANGE"
        ]
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_same_text_is_the_same_scheme_and_another_is_refused(db: PgPool) {
    let world = World::start(db).await;

    let first = world.import(SCHEME_2023).await.unwrap();
    let again = world.import(SCHEME_2023).await.unwrap();
    let changed = world.import(&SCHEME_2023.replace("= 15", "= 16")).await;

    assert_eq!(first, again);
    let metadata = assert_refused(changed, Code::AlreadyExists, "SCHEME_EXISTS");
    assert_eq!(metadata["scheme"], "schemes/prakerja-2023");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn every_mistake_of_a_file_is_a_violation_with_its_place(db: PgPool) {
    let world = World::start(db).await;
    let content = SCHEME_2023
        .replace(
            "household_limit = 2",
            "household_limit = 1.5\nhousehold_limits = 2",
        )
        .replace("citizenship == 'ID'", "citizenship = 'ID'")
        .replace(
            "\"!deceased\"",
            "\"!deceased && sex > 3 || size(shoe_size) > 40\"",
        );
    let line_of = |part: &str| {
        content
            .lines()
            .position(|line| line.contains(part))
            .unwrap()
            + 1
    };

    let fields = fields(world.import(&content).await);

    let expected = [
        format!(
            "scheme.toml:{}:1: household_limit",
            line_of("household_limit =")
        ),
        format!(
            "scheme.toml:{}:1: household_limits",
            line_of("household_limits =")
        ),
        format!(
            "scheme.toml:{}:27: rules[1].expression",
            line_of("citizenship = 'ID'")
        ),
        format!(
            "scheme.toml:{}:29: rules[1].expression",
            line_of("citizenship = 'ID'")
        ),
        // Both in a part that no person's facts may ever lead to.
        format!("scheme.toml:{}:32: rules[2].expression", line_of("sex > 3")),
        format!("scheme.toml:{}:44: rules[2].expression", line_of("sex > 3")),
    ];
    assert_eq!(fields, expected);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repeated_request_is_answered_byte_for_byte_and_another_content_is_refused(db: PgPool) {
    let world = World::start(db).await;
    let request = pb::ImportSchemeRequest {
        request_id: request_id(),
        file_name: "scheme.toml".to_owned(),
        content: SCHEME_2023.to_owned(),
    };

    let first = world
        .schemes()
        .import_scheme(request.clone())
        .await
        .unwrap()
        .into_inner();
    world.clock.advance_by(time::Duration::hours(1));
    let again = world
        .schemes()
        .import_scheme(request.clone())
        .await
        .unwrap()
        .into_inner();
    let other = pb::ImportSchemeRequest {
        file_name: "other.toml".to_owned(),
        ..request
    };
    let other = world.schemes().import_scheme(other).await;

    assert_eq!(
        prost::Message::encode_to_vec(&first),
        prost::Message::encode_to_vec(&again)
    );
    assert_refused(other, Code::InvalidArgument, "REQUEST_ID_REUSED");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn schemes_are_listed_page_by_page(db: PgPool) {
    let world = World::start(db).await;
    for id in ["a-1", "a-2", "a-3"] {
        let scheme = SCHEME_2023
            .replace("\"prakerja-2023\"", &format!("\"{id}\""))
            .replace("\"prakerja\"", &format!("\"programme-{id}\""));
        world.import(&scheme).await.unwrap();
    }

    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListSchemesRequest {
            page_size: 2,
            page_token,
        };
        let page = world
            .schemes()
            .list_schemes(request)
            .await
            .unwrap()
            .into_inner();
        names.extend(page.schemes.into_iter().map(|scheme| scheme.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }

    assert_eq!(names, ["schemes/a-1", "schemes/a-2", "schemes/a-3"]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_stored_scheme_cannot_be_changed_by_anyone(db: PgPool) {
    let world = World::start(db).await;
    world.import(SCHEME_2023).await.unwrap();

    let changed = sqlx::query!("UPDATE schemes SET content = ''")
        .execute(&world.db)
        .await;
    let begun_earlier = sqlx::query!("UPDATE schemes SET period = tstzrange(NULL, now())")
        .execute(&world.db)
        .await;
    let deleted = sqlx::query!("DELETE FROM schemes").execute(&world.db).await;

    assert!(changed.is_err() && begun_earlier.is_err() && deleted.is_err());
}

/// The scheme of 2023 under another name, with other days.
fn dated(name: &str, days: &str) -> String {
    SCHEME_2023
        .replace("\"prakerja-2023\"", &format!("\"{name}\""))
        .replace("valid_from = 2023-01-01", days)
}

fn date(year: i32, month: i32, day: i32) -> Option<Date> {
    Some(Date { year, month, day })
}

impl World {
    pub(crate) async fn end_scheme(
        &self,
        name: &str,
        last: Option<Date>,
    ) -> Result<pb::Scheme, Status> {
        let request = pb::EndSchemeRequest {
            request_id: request_id(),
            name: name.to_owned(),
            valid_until_date: last,
        };
        Ok(self.schemes().end_scheme(request).await?.into_inner())
    }

    async fn try_open(&self, scheme: &str, id: &str) -> Result<pb::Batch, Status> {
        let batch = pb::Batch {
            scheme: scheme.to_owned(),
            quota_plan: Some(plan(1)),
            trustees: vec!["trustees/a".to_owned()],
            ..pb::Batch::default()
        };
        let request = pb::CreateBatchRequest {
            request_id: request_id(),
            batch_id: id.to_owned(),
            batch: Some(batch),
        };
        let name = self
            .batches()
            .create_batch(request)
            .await?
            .into_inner()
            .name;
        let request = pb::OpenBatchRequest {
            request_id: request_id(),
            name,
        };
        Ok(self.batches().open_batch(request).await?.into_inner())
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn two_schemes_of_a_programme_have_no_day_in_common(db: PgPool) {
    let world = World::start(db).await;
    let first = world.import(SCHEME_2020).await.unwrap();
    let second = world.import(SCHEME_2023).await.unwrap();

    assert_eq!(first.valid_from_date, date(2020, 4, 11));
    assert_eq!(first.valid_until_date, date(2022, 12, 31));
    assert_eq!(second.valid_from_date, date(2023, 1, 1));
    assert_eq!(second.valid_until_date, None);
    for (days, other) in [
        ("", "schemes/prakerja-2020"),
        ("valid_until = 2020-04-11", "schemes/prakerja-2020"),
        ("valid_from = 2022-12-31", "schemes/prakerja-2020"),
        ("valid_from = 2027-01-01", "schemes/prakerja-2023"),
    ] {
        let refused = world.import(&dated("prakerja-x", days)).await;
        let metadata = assert_refused(refused, Code::FailedPrecondition, "SCHEME_PERIOD_OVERLAPS");
        assert_eq!(metadata["scheme"], other, "{days}");
    }
    let backwards = dated(
        "prakerja-x",
        "valid_from = 2020-04-10\nvalid_until = 2020-04-09",
    );
    let fields = fields(world.import(&backwards).await);
    assert_eq!(fields.len(), 1);
    assert!(fields[0].ends_with(": valid_until"), "{fields:?}");
    world
        .import(&dated("prakerja-x", "valid_until = 2020-04-10"))
        .await
        .unwrap();
    // Another programme has a time of its own.
    world.import(SKILLS_VOUCHER).await.unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn of_schemes_for_the_same_days_that_are_loaded_at_once_one_is_taken(db: PgPool) {
    let world = World::start(db).await;
    let contents: Vec<String> = (0..8)
        .map(|i| dated(&format!("prakerja-{i}"), "valid_from = 2026-01-01"))
        .collect();

    let loaded = futures::future::join_all(contents.iter().map(|text| world.import(text))).await;

    let (taken, refused): (Vec<_>, Vec<_>) = loaded.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 1);
    for refused in refused {
        assert_refused(refused, Code::FailedPrecondition, "SCHEME_PERIOD_OVERLAPS");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_batch_opens_while_its_scheme_is_in_force(db: PgPool) {
    let world = World::start(db).await;
    let days = "valid_from = 2026-12-01\nvalid_until = 2026-12-31";
    let scheme = world.import(&dated("december", days)).await.unwrap().name;

    let early = world.try_open(&scheme, "1").await;
    // The days are those of Jakarta.
    world.wait_until(datetime!(2026-11-30 17:00 UTC));
    let first = world.try_open(&scheme, "2").await;
    world.wait_until(datetime!(2026-12-31 16:59:59 UTC));
    let last = world.try_open(&scheme, "3").await;
    world.wait_until(datetime!(2026-12-31 17:00 UTC));
    let late = world.try_open(&scheme, "4").await;

    for refused in [early, late] {
        let metadata = assert_refused(refused, Code::FailedPrecondition, "SCHEME_NOT_IN_FORCE");
        assert_eq!(metadata["scheme"], scheme);
        assert_eq!(metadata["valid_from"], "2026-12-01");
        assert_eq!(metadata["valid_until"], "2026-12-31");
    }
    assert!(first.is_ok() && last.is_ok());
    // What is open goes on.
    let account = Uuid::now_v7();
    world.peers.add_person(account, person());
    world.apply("batches/3", account).await.unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_scheme_without_an_end_is_ended_once_and_another_follows(db: PgPool) {
    let world = World::start(db).await;
    let scheme = world.import(SCHEME_2023).await.unwrap().name;
    let next = dated("prakerja-2027", "valid_from = 2027-01-01");
    assert!(world.import(&next).await.is_err());

    for day in [None, date(2026, 11, 23), date(2026, 2, 30)] {
        let fields = fields(world.end_scheme(&scheme, day).await);
        assert_eq!(fields, ["valid_until_date"], "{day:?}");
    }
    let ended = world.end_scheme(&scheme, date(2026, 12, 31)).await.unwrap();
    let again = world.end_scheme(&scheme, date(2026, 12, 31)).await.unwrap();
    let other = world.end_scheme(&scheme, date(2027, 12, 31)).await;
    let unknown = world.end_scheme("schemes/none", date(2027, 1, 1)).await;

    assert_eq!(ended.valid_until_date, date(2026, 12, 31));
    assert_eq!(again, ended);
    let metadata = assert_refused(other, Code::FailedPrecondition, "SCHEME_ENDED");
    assert_eq!(metadata["valid_until"], "2026-12-31");
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    // The same text is still the same scheme.
    assert_eq!(world.import(SCHEME_2023).await.unwrap(), ended);
    world.import(&next).await.unwrap();
    assert!(world.try_open(&scheme, "1").await.is_ok());
}

/// A resident of Portugal, where there are no households.
fn resident(region: &str, more: Vec<Fact>) -> PersonFacts {
    let mut facts = vec![
        int("age_years", 66),
        flag("deceased", false),
        text("occupation", "JOB_SEEKER"),
    ];
    facts.extend(more);
    PersonFacts {
        region: region.to_owned(),
        household: Vec::new(),
        facts,
        ..person()
    }
}

fn euros(units: i64, cents: i32) -> Option<Money> {
    Some(Money {
        currency_code: "EUR".to_owned(),
        units,
        nanos: cents * 10_000_000,
    })
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_programme_of_another_country_is_run_from_its_file(db: PgPool) {
    let world = World::start(db).await;
    for scheme in [SCHEME_2020, SCHEME_2023] {
        world.import(scheme).await.unwrap();
    }
    // In summer, half an hour after midnight in Lisbon and before it in the Azores.
    world.wait_until(datetime!(2027-06-10 23:30 UTC));
    let [lisbon, azores, madeira, helped] = [(); 4].map(|()| Uuid::now_v7());
    let grant = flag("listed_other_training_grants", true);
    for (account, region, more) in [
        (lisbon, "11.06", Vec::new()),
        (azores, "42.03", Vec::new()),
        (madeira, "31.03", Vec::new()),
        (helped, "11.06", vec![grant]),
    ] {
        world.peers.add_person(account, resident(region, more));
    }

    let batch = world
        .open_batch_of(SKILLS_VOUCHER, "vale-1", plan(10))
        .await;
    world.apply_all(&batch, &[lisbon, azores, madeira]).await;
    let refused = world.apply(&batch, helped).await.unwrap();
    let drawn = world.drawn(&batch).await;
    world.award(&batch).await.unwrap();

    let refusals = refused.decision.unwrap().refusals;
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].reason, "OTHER_TRAINING_GRANT");
    let texts = &refusals[0].texts;
    assert_eq!(texts["pt"], "Já recebe outro apoio público à formação.");
    assert_eq!(
        texts["en"],
        "You receive another public training grant already."
    );
    assert_eq!(drawn.commitment.unwrap().entrant_count, 3);

    let told = world.told::<pb::ParticipationsAwarded>().await;
    assert_eq!(told[0].training_balance, euros(750, 0));
    let amounts: Vec<Option<Money>> = told[0]
        .incentives
        .iter()
        .map(|i| i.amount.clone())
        .collect();
    assert_eq!(amounts, [euros(87, 45), euros(12, 50)]);

    // Twenty days later, at 23:59:59 where each lives.
    let in_lisbon = datetime!(2027-07-01 22:59:59 UTC);
    let in_the_azores = datetime!(2027-06-30 23:59:59 UTC);
    let deadlines = deadlines(&world, &batch).await;
    assert_eq!(deadlines.len(), 3);
    assert_eq!(deadlines[&lisbon], Some(timestamp(in_lisbon)));
    assert_eq!(deadlines[&madeira], Some(timestamp(in_lisbon)));
    assert_eq!(deadlines[&azores], Some(timestamp(in_the_azores)));
    world.wait_until(in_the_azores);
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 0);
    world.wait_until(in_lisbon);
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 1);
    world.wait_until(in_lisbon + time::Duration::SECOND);
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 2);
}

/// Returns the deadlines of a batch's participants by their accounts.
async fn deadlines(world: &World, batch: &str) -> HashMap<Uuid, Option<prost_types::Timestamp>> {
    let request = pb::ListParticipationsRequest {
        batch: batch.to_owned(),
        ..pb::ListParticipationsRequest::default()
    };
    let listed = world.participations().list_participations(request).await;
    let listed = listed.unwrap().into_inner().participations;
    listed
        .into_iter()
        .map(|participation| {
            let account = names::parse_uuid(&participation.account, "accounts").unwrap();
            (account, participation.first_purchase_deadline)
        })
        .collect()
}
