//! `TokenService`, and what the tokens open.

use std::time::Duration;

use chassis::auth::{AUDIENCE, Claims, ISSUER};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::JwkSet};
use proto::identity::v1::{
    self as pb, account_service_client::AccountServiceClient, issue_token_request::Credentials,
};
use sqlx::PgPool;
use tonic::{Code, Status};

use crate::world::{OTHER_TOKEN_KEY, SECRET, TOKEN_KEY, World, fields, new_account, reason};

async fn sign_in(world: &World, login: &str, password: &str) -> Result<pb::Token, Status> {
    let credentials = Credentials::Password(pb::PasswordCredentials {
        login: login.to_owned(),
        password: password.to_owned(),
    });
    issue(world, Some(credentials)).await
}

async fn sign_in_service_account(
    world: &World,
    name: &str,
    secret: &str,
) -> Result<pb::Token, Status> {
    let credentials = Credentials::ServiceAccount(pb::ServiceAccountCredentials {
        name: name.to_owned(),
        secret: secret.to_owned(),
    });
    issue(world, Some(credentials)).await
}

async fn issue(world: &World, credentials: Option<Credentials>) -> Result<pb::Token, Status> {
    let request = pb::IssueTokenRequest { credentials };
    world
        .tokens()
        .issue_token(request)
        .await
        .map(tonic::Response::into_inner)
}

async fn get_account(world: &World, token: &str, name: &str) -> Result<pb::Account, Status> {
    let request = pb::GetAccountRequest {
        name: name.to_owned(),
    };
    let mut client = AccountServiceClient::new(world.caller(Some(token.to_owned())));
    client
        .get_account(request)
        .await
        .map(tonic::Response::into_inner)
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn an_account_signs_in_by_email_or_phone_and_reaches_its_own_affairs(db: PgPool) {
    let world = World::start(db).await;
    let request = new_account("siti@contoh.id", "+6281234567890", "kata sandi siti");
    let own = world
        .accounts()
        .create_account(request)
        .await
        .unwrap()
        .into_inner()
        .name;
    let foreign = world.account("budi@contoh.id").await;

    for login in ["siti@contoh.id", "SITI@Contoh.id", "+6281234567890"] {
        let token = sign_in(&world, login, "kata sandi siti").await.unwrap();

        assert_eq!(
            get_account(&world, &token.access_token, &own)
                .await
                .unwrap()
                .name,
            own
        );
        let refused = get_account(&world, &token.access_token, &foreign)
            .await
            .unwrap_err();
        assert_eq!(reason(&refused), "NOT_OWNER");
        let lifetime = token.expire_time.unwrap().seconds - world.clock.now().unix_timestamp();
        assert!((890..=900).contains(&lifetime), "{lifetime}");
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn every_wrong_sign_in_is_one_answer(db: PgPool) {
    let world = World::start(db).await;
    world
        .accounts()
        .create_account(new_account("siti@contoh.id", "", "kata sandi siti"))
        .await
        .unwrap();
    world
        .accounts()
        .create_account(new_account("blocked@contoh.id", "", "kata sandi siti"))
        .await
        .unwrap();
    world.account("without@contoh.id").await;
    sqlx::query!("UPDATE accounts SET state = 'BLOCKED' WHERE email = 'blocked@contoh.id'")
        .execute(&world.db)
        .await
        .unwrap();

    let mut texts = Vec::new();
    for (login, password) in [
        ("siti@contoh.id", "kata sandi budi"),
        ("unknown@contoh.id", "kata sandi siti"),
        ("+6289999999999", "kata sandi siti"),
        ("no shape at all", "kata sandi siti"),
        ("without@contoh.id", "kata sandi siti"),
        ("blocked@contoh.id", "kata sandi siti"),
    ] {
        let started = tokio::time::Instant::now();
        let refused = sign_in(&world, login, password).await.unwrap_err();

        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unauthenticated, "CREDENTIALS_WRONG"),
            "{login}"
        );
        // A hash takes tens of milliseconds; an answer without one would take one or two.
        assert!(
            started.elapsed() > Duration::from_millis(8),
            "{login}: {:?}",
            started.elapsed()
        );
        texts.push(refused.message().to_owned());
    }
    texts.dedup();
    assert_eq!(texts.len(), 1);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_service_account_gets_its_permissions(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;

    let token = sign_in_service_account(&world, "serviceAccounts/demo", SECRET)
        .await
        .unwrap();
    let wrong = "a-secret-that-is-not-the-demo-accounts-own";
    let unknown = sign_in_service_account(&world, "serviceAccounts/nobody", SECRET)
        .await
        .unwrap_err();
    let refused = sign_in_service_account(&world, "serviceAccounts/demo", wrong)
        .await
        .unwrap_err();

    assert_eq!(
        get_account(&world, &token.access_token, &account)
            .await
            .unwrap()
            .name,
        account
    );
    assert_eq!(reason(&unknown), "CREDENTIALS_WRONG");
    assert_eq!(
        (unknown.message(), unknown.code()),
        (refused.message(), refused.code())
    );
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn what_cannot_be_credentials_is_a_violation(db: PgPool) {
    let world = World::start(db).await;

    let nothing = issue(&world, None).await.unwrap_err();
    let account = sign_in(&world, "", "short").await.unwrap_err();
    let service_account = sign_in_service_account(&world, "accounts/1", "short")
        .await
        .unwrap_err();

    assert_eq!(fields(&nothing), ["credentials"]);
    assert_eq!(fields(&account), ["password.login", "password.password"]);
    assert_eq!(
        fields(&service_account),
        ["service_account.name", "service_account.secret"]
    );
}

fn sign(world: &World, pem: &str, kid: &str, change: impl FnOnce(&mut Claims)) -> String {
    let now = world.clock.now().unix_timestamp();
    let mut claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: "serviceAccounts/demo".to_owned(),
        iat: now,
        exp: now + 900,
        jti: "1".to_owned(),
        permissions: vec!["identity.*".to_owned()],
    };
    change(&mut claims);
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    let key = EncodingKey::from_ed_pem(pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}

async fn key_ids(world: &World) -> Vec<String> {
    let answer = world
        .tokens()
        .get_json_web_key_set(pb::GetJsonWebKeySetRequest {})
        .await
        .unwrap();
    let set: JwkSet = serde_json::from_slice(&answer.into_inner().document).unwrap();
    set.keys
        .into_iter()
        .filter_map(|key| key.common.key_id)
        .collect()
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn only_a_token_of_ours_and_in_force_counts(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;
    let kid = key_ids(&world).await.remove(0);

    let good = sign(&world, TOKEN_KEY, &kid, |_| {});
    assert!(get_account(&world, &good, &account).await.is_ok());
    let (head, signature) = good.rsplit_once('.').unwrap();
    for (what, token) in [
        (
            "expired",
            sign(&world, TOKEN_KEY, &kid, |claims| {
                claims.exp = claims.iat - 1
            }),
        ),
        (
            "another audience",
            sign(&world, TOKEN_KEY, &kid, |claims| {
                claims.aud = "elsewhere".to_owned()
            }),
        ),
        (
            "another issuer",
            sign(&world, TOKEN_KEY, &kid, |claims| {
                claims.iss = "elsewhere".to_owned()
            }),
        ),
        (
            "an unknown key id",
            sign(&world, TOKEN_KEY, "unknown", |_| {}),
        ),
        ("another key", sign(&world, OTHER_TOKEN_KEY, &kid, |_| {})),
        (
            "another signature",
            format!("{head}.{}", signature.chars().rev().collect::<String>()),
        ),
        ("no token", "open sesame".to_owned()),
    ] {
        let refused = get_account(&world, &token, &account).await.unwrap_err();

        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unauthenticated, "TOKEN_INVALID"),
            "{what}"
        );
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_token_ends_by_the_clock(db: PgPool) {
    let world = World::start(db).await;
    let account = world.account("siti@contoh.id").await;
    let token = sign_in_service_account(&world, "serviceAccounts/demo", SECRET)
        .await
        .unwrap()
        .access_token;
    assert!(get_account(&world, &token, &account).await.is_ok());

    world.clock.advance_by(time::Duration::seconds(901));

    let refused = get_account(&world, &token, &account).await.unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_INVALID");
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn tokens_of_the_previous_key_count_after_a_rotation(db: PgPool) {
    let before = World::start(db.clone()).await;
    let account = before.account("siti@contoh.id").await;
    let old = sign_in_service_account(&before, "serviceAccounts/demo", SECRET)
        .await
        .unwrap()
        .access_token;

    let after = World::with_keys(db.clone(), OTHER_TOKEN_KEY, &[TOKEN_KEY]).await;
    let dropped = World::with_keys(db, OTHER_TOKEN_KEY, &[]).await;
    let new = sign_in_service_account(&after, "serviceAccounts/demo", SECRET)
        .await
        .unwrap()
        .access_token;

    assert_eq!(key_ids(&after).await.len(), 2);
    assert!(get_account(&after, &old, &account).await.is_ok());
    assert!(get_account(&after, &new, &account).await.is_ok());
    assert_eq!(
        reason(&get_account(&dropped, &old, &account).await.unwrap_err()),
        "TOKEN_INVALID"
    );
}
