//! Stored decisions: made again, and explained.

use chassis::names;
use enrollment::storage::MIGRATOR;
use proto::{
    enrollment::v1 as pb,
    identity::v1::{Fact, PersonFacts, fact},
};
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    peers::{int, person, person_with, text},
    world::{SCHEME_2023, World},
};

async fn replay(world: &World, batch: &str) -> pb::DecisionReplay {
    let request = pb::ReplayDecisionsRequest {
        batch: batch.to_owned(),
    };
    let mut reports = world
        .applications()
        .replay_decisions(request)
        .await
        .unwrap()
        .into_inner();
    let mut last = pb::DecisionReplay::default();
    let mut differences = Vec::new();
    while let Some(report) = reports.message().await.unwrap() {
        differences.extend(report.differences.iter().cloned());
        last = report;
    }
    pb::DecisionReplay {
        differences,
        ..last
    }
}

fn name(application: Uuid, stage: i16) -> String {
    format!("applications/{application}/decisions/{stage}")
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn every_stored_decision_comes_out_the_same(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    let accounts = world.applicants(&batch, 300).await;
    for (i, changes) in [
        person_with(int("age_years", 65)),
        person_with(text("occupation", "POLICE")),
        person_with(text("citizenship", "MY")),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = Uuid::now_v7();
        world.peers.add_person(refused, changes.clone());
        world.apply(&batch, refused).await.unwrap();
        // And one whom the freeze finds changed.
        world.peers.add_person(accounts[i], changes);
    }
    world.frozen(&batch).await;

    let replayed = replay(&world, &batch).await;

    assert_eq!((replayed.replayed_count, replayed.agreed_count), (306, 306));
    assert!(replayed.differences.is_empty());
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_decision_that_was_tampered_with_is_named_with_what_differs(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    world.applicants(&batch, 5).await;
    // As somebody with the rights of the tables' owner could.
    sqlx::raw_sql(
        "ALTER TABLE decisions DISABLE TRIGGER USER;
         UPDATE decisions SET facts = jsonb_set(facts, '{age_years}', '12')
         WHERE application_id = (SELECT min(application_id::text)::uuid FROM applications);
         ALTER TABLE decisions ENABLE TRIGGER USER",
    )
    .execute(&world.db)
    .await
    .unwrap();

    let replayed = replay(&world, &batch).await;

    assert_eq!((replayed.replayed_count, replayed.agreed_count), (5, 4));
    let difference = &replayed.differences[0];
    assert_eq!(difference.fields, ["facts_hash", "eligible", "refusals"]);
    let request = pb::ReplayDecisionRequest {
        name: difference.decision.clone(),
    };
    let alone = world.applications().replay_decision(request).await.unwrap();
    assert_eq!(alone.into_inner().differences[0], *difference);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_person_is_told_every_rule_in_both_languages(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    let account = Uuid::now_v7();
    world
        .peers
        .add_person(account, person_with(int("age_years", 65)));
    let application = world.apply(&batch, account).await.unwrap();
    let decision = application.decision.unwrap();

    let request = pb::ExplainDecisionRequest {
        name: decision.name.clone(),
    };
    let explained = world
        .applications()
        .explain_decision(request)
        .await
        .unwrap()
        .into_inner();

    assert_eq!(explained.decision.unwrap(), decision);
    assert!(explained.facts_change_time.is_some());
    let rule = |reason: &str| {
        explained
            .rules
            .iter()
            .find(|rule| rule.reason == reason)
            .unwrap()
    };
    let age = rule("AGE_OUT_OF_RANGE");
    assert_eq!(age.state(), pb::rule_outcome::State::Broken);
    assert_eq!(age.facts["age_years"], "65");
    assert!(!age.texts["id"].is_empty() && !age.texts["en"].is_empty());
    assert_eq!(rule("NOT_CITIZEN").state(), pb::rule_outcome::State::Kept);
    // Nothing else was wrong with the person, and each rule says so.
    let broken = |rule: &&pb::RuleOutcome| rule.state() != pb::rule_outcome::State::Kept;
    assert_eq!(explained.rules.iter().filter(broken).count(), 1);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_decision_keeps_the_snapshots_of_the_lists_that_it_rests_on(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    let account = Uuid::now_v7();
    let snapshot = prost_types::Timestamp {
        seconds: 1_793_000_000,
        nanos: 0,
    };
    let mut facts = person().facts;
    for fact in &mut facts {
        // A fact of the scheme, told by a list.
        if fact.name == "deceased" {
            "exclusion_list".clone_into(&mut fact.source);
            fact.observe_time = Some(snapshot);
        }
    }
    // A list that no rule names is none of the decision's.
    facts.push(Fact {
        name: "listed_elsewhere".to_owned(),
        source: "exclusion_list".to_owned(),
        observe_time: Some(snapshot),
        value: Some(fact::Value::BoolValue(true)),
    });
    world
        .peers
        .add_person(account, PersonFacts { facts, ..person() });
    let application = world.apply(&batch, account).await.unwrap();

    let request = pb::ExplainDecisionRequest {
        name: application.decision.unwrap().name,
    };
    let explained = world
        .applications()
        .explain_decision(request)
        .await
        .unwrap();

    let snapshots = explained.into_inner().list_snapshots;
    assert_eq!(snapshots.len(), 1);
    assert_eq!(snapshots[0].fact, "deceased");
    assert_eq!(snapshots[0].snapshot_time, Some(snapshot));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_decision_is_asked_for_by_its_name(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    world.applicants(&batch, 1).await;
    let id = sqlx::query_scalar!("SELECT application_id FROM applications")
        .fetch_one(&world.db)
        .await
        .unwrap();

    let explain = |name: String| {
        let mut applications = world.applications();
        async move {
            applications
                .explain_decision(pb::ExplainDecisionRequest { name })
                .await
        }
    };

    assert!(explain(name(id, 1)).await.is_ok());
    // The freeze has found nothing new.
    assert_eq!(
        explain(name(id, 2)).await.unwrap_err().code(),
        Code::NotFound
    );
    let malformed = explain(names::format("applications", id)).await;
    assert_eq!(malformed.unwrap_err().code(), Code::InvalidArgument);
    let request = pb::ReplayDecisionsRequest {
        batch: "batches/none".to_owned(),
    };
    let unknown = world.applications().replay_decisions(request).await;
    assert_eq!(unknown.map(|_| ()).unwrap_err().code(), Code::NotFound);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_draft_tells_who_would_gain_and_lose_and_writes_nothing(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 10).await;
    for (occupation, age, count) in [("FARMER", 30, 6), ("FARMER", 60, 3), ("STUDENT", 30, 2)] {
        for _ in 0..count {
            let account = Uuid::now_v7();
            let mut somebody = person_with(text("occupation", occupation));
            somebody.facts.retain(|fact| fact.name != "age_years");
            somebody.facts.push(int("age_years", age));
            world.peers.add_person(account, somebody);
            world.apply(&batch, account).await.unwrap();
        }
    }
    world.frozen(&batch).await;
    let before = stored(&world).await;
    // A younger programme, which takes students in.
    let content = SCHEME_2023
        .replace("age_years <= 64", "age_years <= 40")
        .replace("occupation != 'STUDENT'", "true");
    assert_ne!(content, SCHEME_2023);

    let replay = draft(&world, &batch, &content).await.unwrap();

    let shift = replay.total.unwrap();
    assert_eq!((shift.application_count, shift.eligible_count), (11, 9));
    assert_eq!((shift.gained_count, shift.lost_count), (2, 3));
    assert_eq!(replay.lost_by_reason["AGE_OUT_OF_RANGE"], 3);
    assert_eq!(replay.gained_by_reason["STUDENT"], 2);
    assert_eq!(replay.strata[0].stratum, "regions/32");
    assert_eq!(replay.strata[0].shift, Some(shift));
    assert_eq!(stored(&world).await, before);

    let wrong = draft(&world, &batch, "name = 1").await;
    assert_eq!(wrong.unwrap_err().code(), Code::InvalidArgument);
}

async fn draft(world: &World, batch: &str, content: &str) -> Result<pb::DraftReplay, Status> {
    let request = pb::ReplayDraftRequest {
        batch: batch.to_owned(),
        file_name: "draft.toml".to_owned(),
        content: content.to_owned(),
    };
    let mut reports = world.schemes().replay_draft(request).await?.into_inner();
    let mut last = pb::DraftReplay::default();
    while let Some(report) = reports.message().await? {
        last = report;
    }
    Ok(last)
}

/// How much is stored of schemes, decisions and events.
async fn stored(world: &World) -> (i64, i64, i64) {
    let row = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM schemes) AS "schemes!", (SELECT count(*) FROM decisions) AS "decisions!",
                  (SELECT count(*) FROM outbox) AS "events!""#
    )
    .fetch_one(&world.db)
    .await
    .unwrap();
    (row.schemes, row.decisions, row.events)
}
