//! People who contradict: against decisions and freezes, resolved by somebody else, honoured by whoever checks again.

use std::collections::HashMap;

use chassis::names;
use enrollment::storage::{MIGRATOR, exemptions};
use proto::enrollment::v1::{self as pb, appeal_service_client::AppealServiceClient};
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    peers::{person_with, text},
    world::{Caller, Participant, World, assert_refused, fields, request_id},
};

use pb::{appeal, participation};

fn against_freeze(participant: Participant) -> pb::Appeal {
    pb::Appeal {
        participation: names::format("participations", participant.id),
        ground: appeal::Ground::ListWrong.into(),
        document_id: Uuid::now_v7().to_string(),
        ..pb::Appeal::default()
    }
}

async fn lodge(caller: Caller, appeal: pb::Appeal) -> Result<pb::Appeal, Status> {
    let request = pb::CreateAppealRequest {
        request_id: request_id(),
        appeal: Some(appeal),
    };
    let mut client = AppealServiceClient::new(caller);
    Ok(client.create_appeal(request).await?.into_inner())
}

async fn resolve(
    caller: Caller,
    appeal: &pb::Appeal,
    state: appeal::State,
) -> Result<pb::Appeal, Status> {
    let request = pb::ResolveAppealRequest {
        request_id: request_id(),
        name: appeal.name.clone(),
        state: state.into(),
        reason: "DOCUMENTS_SEEN".to_owned(),
    };
    let mut client = AppealServiceClient::new(caller);
    Ok(client.resolve_appeal(request).await?.into_inner())
}

async fn exempted(world: &World, account: Uuid) -> HashMap<Uuid, Vec<String>> {
    let mut connection = world.db.acquire().await.unwrap();
    exemptions::find(&mut connection, "prakerja", &[account, Uuid::now_v7()])
        .await
        .unwrap()
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_granted_appeal_lifts_the_hold_and_keeps_it_lifted(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    world.list_hits(participant).await;

    let own = world.account(participant.account);
    let lodged = lodge(own, against_freeze(participant)).await.unwrap();
    assert_eq!(lodged.state(), appeal::State::Open);
    assert_eq!(lodged.reasons, ["CIVIL_SERVANT"]);
    let granted = resolve(world.operator(), &lodged, appeal::State::Granted)
        .await
        .unwrap();

    assert_eq!(granted.state(), appeal::State::Granted);
    assert_eq!(granted.resolver, "serviceAccounts/operator");
    assert_eq!(granted.resolve_reason, "DOCUMENTS_SEEN");
    let state = world.get_participation(participant.id).await.state();
    assert_eq!(state, participation::State::Awarded);
    assert_eq!(world.told::<pb::ParticipationsUnfrozen>().await.len(), 1);
    // The list still has the person; another rule is another matter.
    world.list_hits(participant).await;
    let state = world.get_participation(participant.id).await.state();
    assert_eq!(state, participation::State::Awarded);
    let police = person_with(text("occupation", "POLICE"));
    world.peers.add_person(participant.account, police);
    world.list_changed(&[participant.account]).await;
    world.app.sweep_rechecks().await.unwrap();
    let again = world.get_participation(participant.id).await;
    assert_eq!(again.freeze_reasons, ["POLICE"]);
    let account = participant.account;
    let expected = HashMap::from([(account, vec!["CIVIL_SERVANT".to_owned()])]);
    assert_eq!(exempted(&world, account).await, expected);
    let lifted = sqlx::query!(
        "SELECT lifted_by, lift_reason FROM participation_holds WHERE reason = 'CIVIL_SERVANT'"
    )
    .fetch_one(&world.db)
    .await
    .unwrap();
    assert_eq!(
        (lifted.lifted_by.as_deref(), lifted.lift_reason.as_deref()),
        (Some("serviceAccounts/operator"), Some("DOCUMENTS_SEEN"))
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_rejected_appeal_changes_nothing_and_another_may_follow(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    let early = lodge(world.operator(), against_freeze(participant)).await;
    assert_refused(early, Code::FailedPrecondition, "NOTHING_TO_APPEAL");
    world.list_hits(participant).await;

    let lodged = lodge(world.operator(), against_freeze(participant))
        .await
        .unwrap();
    let rejected = resolve(world.operator(), &lodged, appeal::State::Rejected)
        .await
        .unwrap();
    let second = resolve(world.operator(), &lodged, appeal::State::Granted).await;

    assert_eq!(rejected.state(), appeal::State::Rejected);
    let metadata = assert_refused(second, Code::FailedPrecondition, "APPEAL_RESOLVED");
    assert_eq!(metadata["state"], "REJECTED");
    let frozen = world.get_participation(participant.id).await;
    assert_eq!(frozen.freeze_reasons, ["CIVIL_SERVANT"]);
    assert!(exempted(&world, participant.account).await.is_empty());
    lodge(world.operator(), against_freeze(participant))
        .await
        .unwrap();
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn who_froze_does_not_resolve(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    world
        .freeze_as("auditor", participant, "SHARED_DEVICE")
        .await
        .unwrap();
    let lodged = lodge(world.operator(), against_freeze(participant))
        .await
        .unwrap();

    for state in [appeal::State::Granted, appeal::State::Rejected] {
        let party = resolve(world.service_account("auditor"), &lodged, state).await;
        assert_refused(party, Code::PermissionDenied, "RESOLVER_NOT_INDEPENDENT");
    }
    let granted = resolve(
        world.service_account("judge"),
        &lodged,
        appeal::State::Granted,
    )
    .await;

    assert_eq!(granted.unwrap().resolver, "serviceAccounts/judge");
    let state = world.get_participation(participant.id).await.state();
    assert_eq!(state, participation::State::Awarded);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_refused_decision_can_be_appealed_against_and_the_next_one_knows(db: PgPool) {
    let world = World::start(db).await;
    let batch = world.open_batch("48", 1).await;
    let account = Uuid::now_v7();
    world
        .peers
        .add_person(account, person_with(text("occupation", "CIVIL_SERVANT")));
    let application = world.apply(&batch, account).await.unwrap();
    let accepted = world.applicants(&batch, 1).await[0];
    let request = pb::ListApplicationsRequest {
        account: names::format("accounts", accepted),
        ..pb::ListApplicationsRequest::default()
    };
    let listed = world
        .applications()
        .list_applications(request)
        .await
        .unwrap()
        .into_inner();
    let against = |application: &str, stage| pb::Appeal {
        application: application.to_owned(),
        decision_stage: stage,
        ground: appeal::Ground::FactsWrong.into(),
        ..pb::Appeal::default()
    };

    let own = || world.account(account);
    let lodged = lodge(own(), against(&application.name, 1)).await.unwrap();
    let twice = lodge(own(), against(&application.name, 1)).await;
    let never_made = lodge(own(), against(&application.name, 2)).await;
    let accepted = lodge(world.operator(), against(&listed.applications[0].name, 1)).await;
    let stranger = world.account(Uuid::now_v7());
    let foreign = lodge(stranger, against(&application.name, 1)).await;
    resolve(world.operator(), &lodged, appeal::State::Granted)
        .await
        .unwrap();

    assert_eq!(lodged.reasons, ["CIVIL_SERVANT"]);
    let metadata = assert_refused(twice, Code::AlreadyExists, "APPEAL_EXISTS");
    assert_eq!(metadata["appeal"], lodged.name);
    assert_eq!(never_made.unwrap_err().code(), Code::NotFound);
    assert_refused(accepted, Code::FailedPrecondition, "NOTHING_TO_APPEAL");
    assert_refused(foreign, Code::PermissionDenied, "NOT_OWNER");
    let expected = HashMap::from([(account, vec!["CIVIL_SERVANT".to_owned()])]);
    assert_eq!(exempted(&world, account).await, expected);

    // The freeze lets the person in, and so does the next batch at once; both decisions can be made again.
    let frozen = world.frozen(&batch).await;
    assert_eq!(frozen.commitment.unwrap().entrant_count, 2);
    let next = world.open_batch("49", 1).await;
    let application = world.apply(&next, account).await.unwrap();
    assert_eq!(application.state(), pb::application::State::Accepted);
    for name in [
        format!("{}/decisions/2", lodged.application),
        application.decision.unwrap().name,
    ] {
        let request = pb::ReplayDecisionRequest { name };
        let replay = world.applications().replay_decision(request).await;
        assert_eq!(replay.unwrap().into_inner().agreed_count, 1);
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn appeals_that_arrive_at_once_are_one_and_are_resolved_once(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    world.list_hits(participant).await;

    let calls = (0..8).map(|_| lodge(world.operator(), against_freeze(participant)));
    let answers = futures::future::join_all(calls).await;
    let mut lodged = answers.into_iter().filter_map(Result::ok);
    let appeal = lodged.next().unwrap();
    assert!(lodged.next().is_none());
    // Lodging and resolving take the same locks in the same order.
    let states = [appeal::State::Granted, appeal::State::Rejected];
    let resolving = (0..8).map(|i| resolve(world.operator(), &appeal, states[i % 2]));
    let lodging = (0..8).map(|_| lodge(world.operator(), against_freeze(participant)));
    let (resolved, again) = futures::join!(
        futures::future::join_all(resolving),
        futures::future::join_all(lodging)
    );

    assert_eq!(resolved.iter().filter(|answer| answer.is_ok()).count(), 1);
    let reasons = again
        .into_iter()
        .filter_map(Result::err)
        .map(|status| status.code());
    let known = [Code::AlreadyExists, Code::FailedPrecondition, Code::Aborted];
    assert!(reasons.into_iter().all(|code| known.contains(&code)));
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn appeals_are_read_by_their_person_and_by_operators(db: PgPool) {
    let world = World::start(db).await;
    let participants = world.participants(3).await;
    let mut lodged = Vec::new();
    for participant in &participants {
        world.list_hits(*participant).await;
        let appeal = against_freeze(*participant);
        lodged.push(lodge(world.operator(), appeal).await.unwrap());
    }
    resolve(world.operator(), &lodged[0], appeal::State::Rejected)
        .await
        .unwrap();
    let own = || AppealServiceClient::new(world.account(participants[0].account));
    let mut operator = AppealServiceClient::new(world.operator());
    let list = |account: &str, page_token: String| pb::ListAppealsRequest {
        account: account.to_owned(),
        page_size: 1,
        page_token,
    };

    let mine = own()
        .list_appeals(list(&lodged[0].account, String::new()))
        .await
        .unwrap();
    let theirs = own()
        .list_appeals(list(&lodged[1].account, String::new()))
        .await;
    let all = own().list_appeals(list("", String::new())).await;
    let name = lodged[1].name.clone();
    let foreign = own()
        .get_appeal(pb::GetAppealRequest { name: name.clone() })
        .await;
    let read = operator
        .get_appeal(pb::GetAppealRequest { name })
        .await
        .unwrap();
    let (mut open, mut token) = (Vec::new(), String::new());
    loop {
        let page = operator
            .list_appeals(list("", token))
            .await
            .unwrap()
            .into_inner();
        open.extend(page.appeals.into_iter().map(|appeal| appeal.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }

    assert_eq!(
        mine.into_inner().appeals[0].state(),
        appeal::State::Rejected
    );
    assert_refused(theirs, Code::PermissionDenied, "NOT_OWNER");
    assert_refused(all, Code::PermissionDenied, "NOT_OWNER");
    assert_refused(foreign, Code::PermissionDenied, "NOT_OWNER");
    assert_eq!(read.into_inner(), lodged[1]);
    assert_eq!(open, [lodged[1].name.clone(), lodged[2].name.clone()]);
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_bad_appeal_is_told_all_violations(db: PgPool) {
    let world = World::start(db).await;
    let both = pb::Appeal {
        application: "applications/1".to_owned(),
        participation: "participations/1".to_owned(),
        document_id: "a letter".to_owned(),
        ..pb::Appeal::default()
    };
    let neither = pb::Appeal {
        ground: appeal::Ground::Unfounded.into(),
        ..pb::Appeal::default()
    };
    let unresolved = pb::ResolveAppealRequest {
        request_id: "1".to_owned(),
        name: "appeals/1".to_owned(),
        state: appeal::State::Open.into(),
        reason: "because".to_owned(),
    };

    let both = lodge(world.operator(), both).await;
    let neither = lodge(world.operator(), neither).await;
    let mut client = AppealServiceClient::new(world.operator());
    let unresolved = client.resolve_appeal(unresolved).await;

    let expected = [
        "appeal.participation",
        "appeal.ground",
        "appeal.document_id",
    ];
    assert_eq!(fields(both), expected);
    assert_eq!(
        fields(neither),
        ["appeal.application", "appeal.decision_stage"]
    );
    assert_eq!(
        fields(unresolved),
        ["request_id", "name", "state", "reason"]
    );
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn a_repeated_appeal_gets_its_first_answer(db: PgPool) {
    let world = World::start(db).await;
    let participant = world.participants(1).await[0];
    world.list_hits(participant).await;
    let request = pb::CreateAppealRequest {
        request_id: request_id(),
        appeal: Some(against_freeze(participant)),
    };
    let mut client = AppealServiceClient::new(world.operator());

    let first = client
        .create_appeal(request.clone())
        .await
        .unwrap()
        .into_inner();
    resolve(world.operator(), &first, appeal::State::Granted)
        .await
        .unwrap();
    let repeated = client.create_appeal(request).await.unwrap().into_inner();

    assert_eq!(first, repeated);
}
