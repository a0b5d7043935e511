//! No personal data and no secret in logs, errors, events, or in plain text where it is to be encrypted.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use proto::identity::v1::{self as pb, issue_token_request::Credentials, snapshot_header::Kind};
use serde_json::json;
use sqlx::PgPool;
use tonic_types::StatusExt;

use crate::{
    registry::{self, Behaviour},
    snapshot::{Snapshot, a_list, refusal, send},
    world::{SECRET, World, date, new_account, submission},
};

const NATIONAL_ID: &str = "3204157105910123";
const HOUSEHOLD_ID: &str = "3204152203120456";
const NAME: &str = "Canaria Pratiwi";
const EMAIL: &str = "canary.pratiwi@contoh.id";
const PHONE: &str = "+6281298765432";
const PASSWORD: &str = "canary kata sandi";
const BIRTH_DATE: &str = "1991-05-31";

const CANARIES: [&str; 8] = [
    NATIONAL_ID,
    HOUSEHOLD_ID,
    NAME,
    EMAIL,
    PHONE,
    PASSWORD,
    SECRET,
    registry::KEY,
];

fn canary(account: &str) -> pb::SubmitIdentityRequest {
    let mut request = submission(account, NATIONAL_ID);
    let given = request.submission.as_mut().unwrap();
    given.household_id = HOUSEHOLD_ID.to_owned();
    given.full_name = NAME.to_owned();
    given.birth_date = Some(date(1991, 5, 31));
    request
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_whole_flow_leaves_no_personal_data_in_logs_errors_and_events(db: PgPool) {
    let log = Log::default();
    let writer = log.clone();
    // Everything that any crate says, far more than a process logs. A runner that shares one process between tests has
    // set its own subscriber only here.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let world = World::start(db).await;

    let request = new_account(EMAIL, PHONE, PASSWORD);
    let account = world
        .accounts()
        .create_account(request)
        .await
        .unwrap()
        .into_inner()
        .name;
    let mut errors = vec![
        world
            .accounts()
            .create_account(new_account(EMAIL, "", PASSWORD))
            .await
            .unwrap_err(),
    ];
    errors.push(
        world
            .accounts()
            .create_account(new_account("x@contoh.id", PHONE, ""))
            .await
            .unwrap_err(),
    );
    errors.push(
        world
            .accounts()
            .create_account(new_account(NAME, NATIONAL_ID, ""))
            .await
            .unwrap_err(),
    );
    for (login, password) in [(EMAIL, PASSWORD), (PHONE, "another kata sandi")] {
        let credentials = Credentials::Password(pb::PasswordCredentials {
            login: login.to_owned(),
            password: password.to_owned(),
        });
        let _ = world
            .tokens()
            .issue_token(pb::IssueTokenRequest {
                credentials: Some(credentials),
            })
            .await;
    }
    let credentials = Credentials::ServiceAccount(pb::ServiceAccountCredentials {
        name: "serviceAccounts/demo".to_owned(),
        secret: SECRET.to_owned(),
    });
    world
        .tokens()
        .issue_token(pb::IssueTokenRequest {
            credentials: Some(credentials),
        })
        .await
        .unwrap();

    world
        .persons()
        .submit_identity(canary(&account))
        .await
        .unwrap();
    world.registry.behaves(Behaviour::Status(500));
    world.verifier().verify_round().await.unwrap();
    world.registry.behaves(Behaviour::Says(
        r#"{"result":"MATCH","person":{"sex":"3204157105910123"}}"#,
    ));
    world.clock.advance_by(time::Duration::seconds(61));
    world.verifier().verify_round().await.unwrap();
    world
        .registry
        .behaves(Behaviour::Answers(std::time::Duration::ZERO));
    world.registry.answers(
        NATIONAL_ID,
        json!({ "result": "MISMATCH", "fields": ["full_name"] }),
    );
    world.clock.advance_by(time::Duration::seconds(61));
    world.verifier().verify_round().await.unwrap();
    let other = world.account("other@contoh.id").await;
    world
        .persons()
        .submit_identity(canary(&account))
        .await
        .unwrap();
    errors.push(
        world
            .persons()
            .submit_identity(canary(&other))
            .await
            .unwrap_err(),
    );
    let mut wrong = canary(&account);
    wrong.submission.as_mut().unwrap().national_id = format!("{NATIONAL_ID}0");
    errors.push(world.persons().submit_identity(wrong).await.unwrap_err());
    let attested = pb::AttestHolderRequest {
        account,
        holder_name: NAME.to_owned(),
        phone: PHONE.to_owned(),
    };
    world.persons().attest_holder(attested).await.unwrap();
    // A fault of the database that tells of a value: the log must not.
    sqlx::query!(
        "ALTER TABLE accounts ADD CONSTRAINT accounts_broken_check CHECK (id IS NULL) NOT VALID"
    )
    .execute(&world.db)
    .await
    .unwrap();
    errors.push(
        world
            .accounts()
            .create_account(new_account(&format!("a{EMAIL}"), "", ""))
            .await
            .unwrap_err(),
    );

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(
        log.contains("accounts_broken_check"),
        "the fault is in the log"
    );
    for canary in CANARIES {
        if let Some(at) = log.find(canary) {
            panic!(
                "{canary} is in the log: {}",
                &log[at.saturating_sub(600)..at + 100]
            );
        }
        for error in &errors {
            let told = format!("{error:?} {:?}", error.get_error_details());
            assert!(!told.contains(canary), "{told}");
        }
    }
    let events = sqlx::query_scalar!("SELECT body FROM outbox")
        .fetch_all(&world.db)
        .await
        .unwrap();
    for canary in CANARIES {
        assert!(
            !events.iter().any(|body| contains(body, canary)),
            "{canary} is in an event"
        );
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn what_is_to_be_encrypted_is_nowhere_in_plain_text(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;

    world
        .persons()
        .submit_identity(canary(&account))
        .await
        .unwrap();
    let pending = dump(&world.db).await;
    world.verifier().verify_round().await.unwrap();
    let verified = dump(&world.db).await;

    for (when, dump) in [("pending", pending), ("verified", verified)] {
        assert!(
            dump.len() > 1_000 && contains(&dump, "siti@contoh.id"),
            "the dump holds what is kept"
        );
        for plain in [
            NATIONAL_ID,
            HOUSEHOLD_ID,
            NAME,
            "Canaria",
            BIRTH_DATE,
            "1991",
            "JOB_SEEKER",
            "FEMALE",
            "DIPLOMA",
        ] {
            assert!(
                !contains(&dump, plain),
                "{plain} is in the database, {when}"
            );
        }
    }
}

/// Returns every byte of every value of the tables.
async fn dump(db: &PgPool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let accounts = sqlx::query!("SELECT accounts::text AS row FROM accounts")
        .fetch_all(db)
        .await
        .unwrap();
    bytes.extend(
        accounts
            .into_iter()
            .flat_map(|row| row.row.unwrap().into_bytes()),
    );
    let persons = sqlx::query!(
        r#"SELECT national_id_hash || sealed_identity || sealed_facts || coalesce(household, '') AS "bytes!",
                  persons::text AS "row!"
           FROM persons"#
    );
    for row in persons.fetch_all(db).await.unwrap() {
        bytes.extend(row.bytes);
        bytes.extend(row.row.into_bytes());
    }
    let keys = sqlx::query_scalar!("SELECT wrapped_key FROM person_keys")
        .fetch_all(db)
        .await
        .unwrap();
    bytes.extend(keys.concat());
    let requests = sqlx::query!(r#"SELECT fingerprint, answer AS "answer!" FROM request_ids"#);
    for row in requests.fetch_all(db).await.unwrap() {
        bytes.extend(row.fingerprint);
        bytes.extend(row.answer);
    }
    bytes.extend(
        sqlx::query_scalar!("SELECT body FROM outbox")
            .fetch_all(db)
            .await
            .unwrap()
            .concat(),
    );
    bytes
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_snapshot_leaves_no_hash_in_logs_errors_and_events(db: PgPool) {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let world = World::start(db).await;
    let list = a_list(&world, "students").await;
    let account = world.account("other@contoh.id").await;
    world
        .persons()
        .submit_identity(canary(&account))
        .await
        .unwrap();
    let hash = world.hash(NATIONAL_ID);
    let mut too_long = hash.clone();
    too_long.push(0);

    let snapshot = Snapshot::of(&list, Kind::Full).chunk(&[hash.clone(), too_long], &[]);
    let (answers, ended) = send(&world, snapshot.requests()).await;
    ended.unwrap();
    let mut gap = Snapshot::of(&list, Kind::Incremental).chunk(&[], std::slice::from_ref(&hash));
    gap.chunks[0].chunk_number = 2;
    let refused = refusal(&world, gap.requests()).await;
    // A fault of the database that tells of a value: the log must not.
    sqlx::query!(
        "ALTER TABLE exclusion_entries ADD CONSTRAINT exclusion_entries_broken_check
             CHECK (snapshot_date IS NULL) NOT VALID"
    )
    .execute(&world.db)
    .await
    .unwrap();
    let mut other = hash.clone();
    other.reverse();
    let broken = Snapshot::of(&list, Kind::Full).chunk(std::slice::from_ref(&other), &[]);
    let broken = refusal(&world, broken.requests()).await;

    assert_eq!(answers.result.as_ref().unwrap().listed_account_count, 1);
    let log = log.0.lock().unwrap().clone();
    assert!(
        contains(&log, "exclusion_entries_broken_check"),
        "the fault is in the log"
    );
    let told = format!("{answers:?} {refused:?} {broken:?}");
    let events = sqlx::query_scalar!("SELECT body FROM outbox")
        .fetch_all(&world.db)
        .await
        .unwrap();
    for hash in [hash, other] {
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{:?}", &hash[..6]);
        for seen in [&log[..], told.as_bytes(), &events.concat()] {
            assert!(!contains(seen, &hex[..16]), "in hexadecimal digits");
            assert!(!contains(seen, &hex[..16].to_uppercase()), "in capitals");
            assert!(!contains(seen, list.trim_end_matches(']')), "as a list");
            assert!(
                !seen.windows(8).any(|bytes| bytes == &hash[..8]),
                "in bytes"
            );
        }
    }
    assert!(!contains(&log, NATIONAL_ID));
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
