//! Holds: a list that changes, operators who doubt, and what a frozen participation can and cannot do.

use std::collections::HashMap;

use chassis::names;
use enrollment::storage::{MIGRATOR, rechecks};
use messaging::{Event, HandleError, consumer};
use proto::{
    enrollment::v1::{self as pb, participation_service_client::ParticipationServiceClient},
    identity::v1::{ExclusionsChanged, PersonFacts},
    payout::v1::funds_hold,
};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime, macros::datetime};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    learning::completed,
    peers::{person, person_with, text, timestamp},
    world::{Participant, World, assert_refused, fields, request_id},
};

const QUEUE: &str = "enrollment.identity-events";
/// 15 days after 2026-11-24 in Jakarta, the last second.
const DEADLINE: OffsetDateTime = datetime!(2026-12-09 16:59:59 UTC);

use pb::participation::State;

impl World {
    /// Takes in that a list changed for these accounts.
    pub(crate) async fn list_changed(&self, accounts: &[Uuid]) -> consumer::Taken {
        let changed = ExclusionsChanged {
            exclusion_list: "exclusionLists/civil-servants".to_owned(),
            listed_accounts: accounts
                .iter()
                .map(|id| names::format("accounts", id))
                .collect(),
            ..ExclusionsChanged::default()
        };
        let event = Event::of(&changed.exclusion_list.clone(), self.clock.now(), &changed);
        consumer::take_in(&self.db, QUEUE, &event, &self.events)
            .await
            .unwrap()
    }

    /// Lets a list have a person, tells of it and checks again.
    pub(crate) async fn list_hits(&self, participant: Participant) {
        self.peers.add_person(participant.account, civil_servant());
        self.list_changed(&[participant.account]).await;
        self.app.sweep_rechecks().await.unwrap();
    }

    /// Lets the list have the person no more, tells of it and checks again.
    async fn list_lets_go(&self, participant: Participant) {
        self.peers.add_person(participant.account, person());
        self.list_changed(&[participant.account]).await;
        self.app.sweep_rechecks().await.unwrap();
    }

    async fn state(&self, participant: Participant) -> State {
        self.get_participation(participant.id).await.state()
    }

    pub(crate) async fn freeze_as(
        &self,
        operator: &str,
        participant: Participant,
        reason: &str,
    ) -> Result<pb::Participation, Status> {
        let request = pb::FreezeParticipationRequest {
            request_id: request_id(),
            name: names::format("participations", participant.id),
            reason: reason.to_owned(),
        };
        let mut client = ParticipationServiceClient::new(self.service_account(operator));
        Ok(client.freeze_participation(request).await?.into_inner())
    }

    pub(crate) async fn unfreeze(
        &self,
        participant: Participant,
    ) -> Result<pb::Participation, Status> {
        let request = pb::UnfreezeParticipationRequest {
            request_id: request_id(),
            name: names::format("participations", participant.id),
            reason: "CLEARED".to_owned(),
        };
        let mut client = self.participations();
        Ok(client.unfreeze_participation(request).await?.into_inner())
    }

    async fn revoke(&self, participant: Participant) -> Result<pb::Participation, Status> {
        let request = pb::RevokeParticipationRequest {
            request_id: request_id(),
            name: names::format("participations", participant.id),
            reason: "FRAUD".to_owned(),
        };
        let mut client = self.participations();
        Ok(client.revoke_participation(request).await?.into_inner())
    }
}

fn civil_servant() -> PersonFacts {
    person_with(text("occupation", "CIVIL_SERVANT"))
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_list_hit_freezes_and_its_end_frees_once_each(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(3).await;
    world.app.sweep_rechecks().await.unwrap();
    let [hit, other, untouched] = participants[..] else {
        panic!("not three participants")
    };
    for participant in [hit, other] {
        world.peers.add_person(participant.account, civil_servant());
    }

    world.list_changed(&[hit.account, Uuid::now_v7()]).await;
    assert_eq!(world.app.sweep_rechecks().await.unwrap(), 1);
    world.list_changed(&[hit.account]).await;
    world.app.sweep_rechecks().await.unwrap();

    let frozen = world.get_participation(hit.id).await;
    assert_eq!(frozen.state(), State::Frozen);
    assert_eq!(frozen.freeze_reasons, ["CIVIL_SERVANT"]);
    assert_eq!(frozen.freeze_time, Some(timestamp(world.clock.now())));
    // Nobody has told of this one.
    assert_eq!(world.state(other).await, State::Awarded);
    assert_eq!(world.state(untouched).await, State::Awarded);
    let events = world.told::<pb::ParticipationsFrozen>().await;
    assert_eq!(events.len(), 1);
    assert_eq!(
        events[0].participations,
        [names::format("participations", hit.id)]
    );
    assert_eq!(
        (events[0].batch.as_str(), events[0].reason.as_str()),
        (frozen.batch.as_str(), "CIVIL_SERVANT")
    );

    world.list_lets_go(hit).await;
    world.list_lets_go(hit).await;

    let freed = world.get_participation(hit.id).await;
    assert_eq!(freed.state(), State::Awarded);
    assert_eq!((freed.freeze_time, freed.freeze_reasons.len()), (None, 0));
    let unfrozen = world.told::<pb::ParticipationsUnfrozen>().await;
    assert_eq!(unfrozen.len(), 1);
    // The clock stood still, and still the freeze comes first.
    let time = |time: &Option<prost_types::Timestamp>| {
        let time = time.as_ref().unwrap();
        (time.seconds, time.nanos)
    };
    assert!(time(&unfrozen[0].unfreeze_time) > time(&events[0].freeze_time));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_award_is_checked_again_since_a_list_may_have_changed_after_the_freeze(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 2).await;
    let accounts = world.applicants(&batch, 2).await;
    world.drawn(&batch).await;
    // The event finds no participation yet.
    world.peers.add_person(accounts[0], civil_servant());
    world.list_changed(&accounts[..1]).await;
    world.award(&batch).await.unwrap();

    world.app.sweep_rechecks().await.unwrap();

    let request = pb::ListParticipationsRequest {
        batch,
        ..pb::ListParticipationsRequest::default()
    };
    let listed = world.participations().list_participations(request).await;
    let states: HashMap<String, State> = listed
        .unwrap()
        .into_inner()
        .participations
        .into_iter()
        .map(|participation| (participation.account.clone(), participation.state()))
        .collect();
    let of = |account| states[&names::format("accounts", account)];
    // Who has won is a recipient, and that is no offence.
    assert_eq!(
        (of(accounts[0]), of(accounts[1])),
        (State::Frozen, State::Awarded)
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn nothing_is_bought_while_frozen_and_the_deadline_waits(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(2).await;
    let (hit, missed) = (participants[0], participants[1]);
    world.wait_until(DEADLINE - Duration::hours(1));
    world.list_hits(hit).await;

    let refused = world.buy(hit.id, world.run(1, 1_000)).await;
    assert_refused(refused, Code::FailedPrecondition, "PARTICIPATION_FROZEN");
    world.wait_until(DEADLINE + Duration::hours(10));
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 1);
    assert_eq!(world.state(missed).await, State::Revoked);
    assert_eq!(world.state(hit).await, State::Frozen);

    // Eleven hours: a begun day counts in full.
    world.list_lets_go(hit).await;
    let freed = world.get_participation(hit.id).await;
    assert_eq!(
        freed.first_purchase_deadline,
        Some(timestamp(DEADLINE + Duration::DAY))
    );
    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 0);
    let bought = world.buy(hit.id, world.run(1, 1_000)).await.unwrap();
    assert_eq!(bought.state(), pb::purchase::State::Completed);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn who_had_missed_the_deadline_is_not_saved_by_a_freeze(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    world.wait_until(DEADLINE + Duration::SECOND);
    world.list_hits(participant).await;

    world.wait_until(DEADLINE + Duration::days(3));
    world.list_lets_go(participant).await;

    assert_eq!(world.app.sweep_deadlines().await.unwrap(), 1);
    assert_eq!(world.state(participant).await, State::Revoked);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn an_outage_of_identity_leaves_the_marks(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    world.app.sweep_rechecks().await.unwrap();
    world.peers.add_person(participant.account, civil_servant());
    world.list_changed(&[participant.account]).await;
    world.peers.away("BatchGetFacts");

    assert!(world.app.sweep_rechecks().await.is_err());
    assert_eq!(world.state(participant).await, State::Awarded);
    world.peers.back();
    // Not at once, since identity needs its time.
    assert_eq!(world.app.sweep_rechecks().await.unwrap(), 0);
    world.clock.advance_by(Duration::seconds(5));
    assert_eq!(world.app.sweep_rechecks().await.unwrap(), 1);

    assert_eq!(world.state(participant).await, State::Frozen);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn many_are_checked_by_several_replicas_once_each(db: PgPool) {
    let world = World::start(db).await;
    let mut participants = world.participants(700).await;
    participants.extend(world.participants(500).await);
    world.app.sweep_rechecks().await.unwrap();
    let accounts: Vec<Uuid> = participants.iter().map(|p| p.account).collect();
    for account in &accounts {
        world.peers.add_person(*account, civil_servant());
    }
    world.list_changed(&accounts[..800]).await;
    world.list_changed(&accounts[500..]).await;
    let asked = || world.peers.facts_calls().into_iter().sum::<usize>();
    let asked_before = asked();

    let rounds = (0..4).map(|_| world.app.sweep_rechecks());
    let counts = futures::future::join_all(rounds).await;

    let total: usize = counts.into_iter().map(Result::unwrap).sum();
    assert_eq!(total, 1_200);
    assert_eq!(asked(), asked_before + 1_200);
    let events = world.told::<pb::ParticipationsFrozen>().await;
    assert!(
        events
            .iter()
            .all(|event| event.participations.len() <= 1_000)
    );
    let mut told: Vec<String> = events
        .into_iter()
        .flat_map(|event| event.participations)
        .collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 1_200);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_mark_that_was_renewed_is_not_settled_by_an_older_answer(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    world.app.sweep_rechecks().await.unwrap();
    world.list_changed(&[participant.account]).await;
    let (now, mut connection) = (world.clock.now(), world.db.acquire().await.unwrap());
    let lease_end = now + Duration::minutes(1);

    let old = rechecks::claim_due(&mut connection, now, lease_end, 10)
        .await
        .unwrap();
    world.list_changed(&[participant.account]).await;
    let new = rechecks::claim_due(&mut connection, now, lease_end, 10)
        .await
        .unwrap();

    assert_eq!((old.len(), new.len()), (1, 1));
    assert!(
        rechecks::finish(&mut connection, &old)
            .await
            .unwrap()
            .is_empty()
    );
    let done = rechecks::finish(&mut connection, &new).await.unwrap();
    assert_eq!(done, [participant.id]);
    assert!(
        rechecks::finish(&mut connection, &new)
            .await
            .unwrap()
            .is_empty()
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_freeze_turns_a_purchase_back_before_its_money_is_taken_and_not_after(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(4).await;
    world.app.sweep_rechecks().await.unwrap();

    for (buyer, (waits_at, bought)) in participants.into_iter().zip([
        ("HoldSeat", false),
        ("HoldFunds", false),
        ("ConfirmSeat", false),
        // It is past the gate: whether payout has taken the money is not known.
        ("CaptureFunds", true),
    ]) {
        let run = world.run(1, 1_000_000);
        world.peers.away(waits_at);
        let pending = world.buy(buyer.id, run).await.unwrap();
        world.list_hits(buyer).await;
        world.peers.back();
        world.clock.advance_by(Duration::minutes(3));
        world.app.sweep_purchases().await.unwrap();

        let ended = world.get_purchase(&pending.name).await;
        let expected = if bought {
            (pb::purchase::State::Completed, "")
        } else {
            (pb::purchase::State::Failed, "PARTICIPATION_FROZEN")
        };
        assert_eq!(
            (ended.state(), ended.failure_reason.as_str()),
            expected,
            "{waits_at}"
        );
        assert_eq!(world.peers.taken_seats(run), usize::from(bought));
        assert_eq!(
            world.peers.balance(buyer.id),
            if bought { 2_500_000 } else { 3_500_000 }
        );
        assert_eq!(world.peers.funds_in(funds_hold::State::Held), 0);
        assert_eq!(world.state(buyer).await, State::Frozen);
        // It returns to where it has come meanwhile.
        world.list_lets_go(buyer).await;
        let freed = if bought {
            State::Active
        } else {
            State::Awarded
        };
        assert_eq!(world.state(buyer).await, freed, "{waits_at}");
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_course_can_be_finished_behind_a_freeze(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let purchase = world
        .buy(participant.id, world.run(1, 1_000))
        .await
        .unwrap();
    world.list_hits(participant).await;

    completed(&world, &purchase).await;

    assert_eq!(world.state(participant).await, State::Frozen);
    assert!(world.told::<pb::CertificateIssued>().await[0].first);
    world.list_lets_go(participant).await;
    assert_eq!(world.state(participant).await, State::Completed);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn holds_of_rules_and_of_operators_are_lifted_each_for_itself(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    world.list_hits(participant).await;
    for reason in ["SHARED_DEVICE", "SHARED_ACCOUNT", "SHARED_DEVICE"] {
        world
            .freeze_as("auditor", participant, reason)
            .await
            .unwrap();
    }
    let frozen = world.get_participation(participant.id).await;
    assert_eq!(
        frozen.freeze_reasons,
        ["CIVIL_SERVANT", "SHARED_ACCOUNT", "SHARED_DEVICE"]
    );

    let still = world.unfreeze(participant).await.unwrap();
    assert_eq!(still.freeze_reasons, ["CIVIL_SERVANT"]);
    assert_refused(
        world.unfreeze(participant).await,
        Code::FailedPrecondition,
        "PARTICIPATION_NOT_FROZEN",
    );
    world
        .freeze_as("auditor", participant, "SHARED_DEVICE")
        .await
        .unwrap();
    world.list_lets_go(participant).await;
    assert_eq!(world.state(participant).await, State::Frozen);
    world.unfreeze(participant).await.unwrap();

    assert_eq!(world.state(participant).await, State::Awarded);
    assert_eq!(world.told::<pb::ParticipationsFrozen>().await.len(), 1);
    assert_eq!(world.told::<pb::ParticipationsUnfrozen>().await.len(), 1);
    let audit = sqlx::query!(
        r#"SELECT kind, reason, placed_by, lifted_by AS "lifted_by!", lift_reason
           FROM participation_holds
           ORDER BY hold_id"#
    )
    .fetch_all(&world.db)
    .await
    .unwrap();
    let audit: Vec<_> = audit
        .iter()
        .map(|row| {
            let lift_reason = row.lift_reason.as_deref();
            (
                &*row.kind,
                &*row.reason,
                &*row.placed_by,
                &*row.lifted_by,
                lift_reason,
            )
        })
        .collect();
    let (own, auditor) = ("serviceAccounts/enrollment", "serviceAccounts/auditor");
    let (operator, cleared) = ("serviceAccounts/operator", Some("CLEARED"));
    assert_eq!(
        audit,
        [
            ("RULES", "CIVIL_SERVANT", own, own, None),
            ("OPERATOR", "SHARED_DEVICE", auditor, operator, cleared),
            ("OPERATOR", "SHARED_ACCOUNT", auditor, operator, cleared),
            ("OPERATOR", "SHARED_DEVICE", auditor, operator, cleared),
        ]
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repeated_freeze_gets_its_first_answer(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let request = pb::FreezeParticipationRequest {
        request_id: request_id(),
        name: names::format("participations", participant.id),
        reason: "SHARED_DEVICE".to_owned(),
    };
    let freeze = || {
        let (mut client, request) = (world.participations(), request.clone());
        async move {
            client
                .freeze_participation(request)
                .await
                .unwrap()
                .into_inner()
        }
    };

    let first = freeze().await;
    world.unfreeze(participant).await.unwrap();
    let repeated = freeze().await;

    assert_eq!(first, repeated);
    assert_eq!(world.state(participant).await, State::Awarded);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn fraud_revokes_what_is_frozen_and_nothing_else(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(2).await;
    let (fraud, pending) = (participants[0], participants[1]);
    world.buy(fraud.id, world.run(1, 1_000)).await.unwrap();

    assert_refused(
        world.revoke(fraud).await,
        Code::FailedPrecondition,
        "PARTICIPATION_NOT_FROZEN",
    );
    world
        .freeze_as("auditor", fraud, "SHARED_DEVICE")
        .await
        .unwrap();
    let revoked = world.revoke(fraud).await.unwrap();
    world.peers.away("ConfirmSeat");
    world.buy(pending.id, world.run(1, 1_000)).await.unwrap();
    world
        .freeze_as("auditor", pending, "SHARED_DEVICE")
        .await
        .unwrap();

    assert_eq!(revoked.state(), State::Revoked);
    let events = world.told::<pb::ParticipationsRevoked>().await;
    assert_eq!(
        events[0].participations,
        std::slice::from_ref(&revoked.name)
    );
    assert_refused(
        world.freeze_as("auditor", fraud, "MORE").await,
        Code::FailedPrecondition,
        "PARTICIPATION_REVOKED",
    );
    let unfrozen = world.unfreeze(fraud).await;
    assert_refused(
        unfrozen,
        Code::FailedPrecondition,
        "PARTICIPATION_NOT_FROZEN",
    );
    // A list does not bring it back.
    world.list_lets_go(fraud).await;
    assert_eq!(world.state(fraud).await, State::Revoked);
    let early = world.revoke(pending).await;
    assert_refused(early, Code::FailedPrecondition, "PURCHASE_PENDING");
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_database_lets_no_state_stand_against_its_holds(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let refusal = |error: sqlx::Error| chassis::db::constraint(&error).map(str::to_owned);

    let without_hold = sqlx::query!(
        "UPDATE participations SET state = 'FROZEN', frozen_from = 'AWARDED', freeze_time = now()"
    )
    .execute(&world.db)
    .await;
    let from_elsewhere = sqlx::query!(
        "UPDATE participations SET state = 'FROZEN', frozen_from = 'ACTIVE', freeze_time = now()"
    )
    .execute(&world.db)
    .await;
    let hold_alone = sqlx::query!(
        "INSERT INTO participation_holds (participation_id, hold_id, kind, reason, place_time, placed_by)
         VALUES ($1, gen_random_uuid(), 'RULES', 'ANY', now(), 'anybody')",
        participant.id
    )
    .execute(&world.db)
    .await;
    world
        .freeze_as("auditor", participant, "ANY")
        .await
        .unwrap();
    let freed = sqlx::query!(
        "UPDATE participations SET state = 'AWARDED', frozen_from = NULL, freeze_time = NULL"
    )
    .execute(&world.db)
    .await;
    let elsewhere = sqlx::query!(
        "UPDATE participations SET state = 'COMPLETED', frozen_from = NULL, freeze_time = NULL"
    )
    .execute(&world.db)
    .await;
    let skipped = sqlx::query!("UPDATE participations SET frozen_from = 'COMPLETED'")
        .execute(&world.db)
        .await;
    let forged = sqlx::query!("UPDATE participation_holds SET placed_by = 'somebody'")
        .execute(&world.db)
        .await;

    let (holds, transition) = ("participations_holds", "participations_transition");
    for (what, refused, constraint) in [
        ("frozen without a hold", without_hold, holds),
        ("frozen from elsewhere", from_elsewhere, transition),
        ("a hold alone", hold_alone, holds),
        ("freed with a hold", freed, holds),
        ("freed to elsewhere", elsewhere, transition),
        ("a state is skipped", skipped, transition),
        ("a hold is forged", forged, "participation_holds_immutable"),
    ] {
        assert_eq!(
            refused.map_err(refusal).err().flatten().as_deref(),
            Some(constraint),
            "{what}"
        );
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_malformed_list_event_is_rejected(db: PgPool) {
    let world = World::start(db).await;
    let changed = ExclusionsChanged {
        lifted_accounts: vec!["accounts/one".to_owned()],
        ..ExclusionsChanged::default()
    };
    let event = Event::of("exclusionLists/any", world.clock.now(), &changed);

    let taken = consumer::take_in(&world.db, QUEUE, &event, &world.events).await;

    assert!(matches!(taken, Err(HandleError::Reject(_))));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn freezing_is_not_for_everyone_and_tells_all_violations(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let name = names::format("participations", participant.id);
    let request = pb::FreezeParticipationRequest {
        request_id: request_id(),
        name,
        reason: "SHARED_DEVICE".to_owned(),
    };

    let own = ParticipationServiceClient::new(world.account(participant.account))
        .freeze_participation(request)
        .await;
    let wrong = pb::RevokeParticipationRequest {
        request_id: "1".to_owned(),
        name: "participations/1".to_owned(),
        reason: "the neighbour said so".to_owned(),
    };
    let wrong = world.participations().revoke_participation(wrong).await;

    assert_refused(own, Code::PermissionDenied, "PERMISSION_MISSING");
    assert_eq!(fields(wrong), ["request_id", "name", "reason"]);
}
