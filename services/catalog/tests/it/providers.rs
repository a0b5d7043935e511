//! `ProviderService`.

use futures::future::join_all;
use proto::catalog::v1 as pb;
use sqlx::PgPool;
use tonic::Code;

use crate::world::{World, fields, metadata, new_provider, reason};

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_provider_is_created_once_for_a_request_id(db: PgPool) {
    let world = World::start(db).await;
    let request = new_provider("  Balai   Latih Nusa ");

    let calls = (0..8).map(|_| {
        let (mut providers, request) = (world.providers(), request.clone());
        async move {
            providers
                .create_provider(request)
                .await
                .unwrap()
                .into_inner()
        }
    });
    let answers = join_all(calls).await;

    assert_eq!(answers[0].display_name, "Balai Latih Nusa");
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let name = answers[0].name.clone();
    let found = world
        .providers()
        .get_provider(pb::GetProviderRequest { name })
        .await
        .unwrap();
    assert_eq!(found.into_inner(), answers[0]);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn another_spelling_of_a_name_is_the_same_provider(db: PgPool) {
    let world = World::start(db).await;
    let first = world.a_provider("Ruang Kursus").await;

    let refused = world
        .providers()
        .create_provider(new_provider("RUANG  kursus"))
        .await
        .unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::AlreadyExists, "PROVIDER_EXISTS")
    );
    assert_eq!(metadata(&refused, "provider"), first.name);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn a_request_id_is_for_one_request(db: PgPool) {
    let world = World::start(db).await;
    let request = new_provider("Balai Satu");
    let other = pb::CreateProviderRequest {
        request_id: request.request_id.clone(),
        ..new_provider("Balai Dua")
    };

    world.providers().create_provider(request).await.unwrap();
    let refused = world.providers().create_provider(other).await.unwrap_err();

    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn every_violation_is_told_at_once(db: PgPool) {
    let world = World::start(db).await;
    let request = pb::CreateProviderRequest {
        request_id: "48".to_owned(),
        ..new_provider(" ")
    };

    let refused = world
        .providers()
        .create_provider(request)
        .await
        .unwrap_err();

    assert_eq!(reason(&refused), "INVALID_REQUEST");
    assert_eq!(fields(&refused), ["request_id", "provider.display_name"]);
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn an_unknown_provider_is_not_found(db: PgPool) {
    let world = World::start(db).await;

    for name in [
        "providers/7f8f2f52-4f5e-4b52-9d0e-111111111111",
        "providers/x",
        "courses/1",
        "",
    ] {
        let request = pb::GetProviderRequest {
            name: name.to_owned(),
        };
        let refused = world.providers().get_provider(request).await.unwrap_err();

        assert_eq!(refused.code(), Code::NotFound, "{name}");
    }
}

#[sqlx::test(migrator = "catalog::storage::MIGRATOR")]
async fn providers_are_listed_by_name_page_by_page(db: PgPool) {
    let world = World::start(db).await;
    for name in ["Cakap", "arkademi", "Baking World", "ZenPro", "Élan"] {
        world.a_provider(name).await;
    }

    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListProvidersRequest {
            page_size: 2,
            page_token,
        };
        let page = world
            .providers()
            .list_providers(request)
            .await
            .unwrap()
            .into_inner();
        names.extend(
            page.providers
                .into_iter()
                .map(|provider| provider.display_name),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }

    assert_eq!(
        names,
        ["arkademi", "Baking World", "Cakap", "ZenPro", "Élan"]
    );
}
