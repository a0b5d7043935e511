//! Creating, reading and listing exclusion lists, and who may.

use proto::identity::v1::{
    self as pb, exclusion_list_service_client::ExclusionListServiceClient, snapshot_header::Kind,
};
use sqlx::PgPool;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    snapshot::{self, Snapshot},
    world::{World, fields, reason},
};

fn creation(id: &str) -> pb::CreateExclusionListRequest {
    pb::CreateExclusionListRequest {
        request_id: Uuid::new_v4().to_string(),
        exclusion_list_id: id.to_owned(),
        exclusion_list: Some(pb::ExclusionList {
            display_name: "Aparatur Sipil Negara".to_owned(),
            source: "Badan Kepegawaian Negara".to_owned(),
            ..pb::ExclusionList::default()
        }),
    }
}

async fn get(world: &World, name: &str) -> Result<pb::ExclusionList, Status> {
    let request = pb::GetExclusionListRequest {
        name: name.to_owned(),
    };
    let answer = world.exclusion_lists().get_exclusion_list(request).await?;
    Ok(answer.into_inner())
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_list_is_created_once_and_read(db: PgPool) {
    let world = World::start(db).await;
    let request = creation("civil-servants");

    let mut lists = world.exclusion_lists();
    let created = lists.create_exclusion_list(request.clone()).await.unwrap();
    let again = lists.create_exclusion_list(request.clone()).await.unwrap();
    let taken = lists
        .create_exclusion_list(creation("civil-servants"))
        .await
        .unwrap_err();
    let mut other = request.clone();
    other.exclusion_list_id = "students".to_owned();
    let reused = lists.create_exclusion_list(other).await.unwrap_err();

    let created = created.into_inner();
    assert_eq!(created.name, "exclusionLists/civil-servants");
    assert_eq!(
        (created.display_name.as_str(), created.source.as_str()),
        ("Aparatur Sipil Negara", "Badan Kepegawaian Negara")
    );
    assert_eq!(
        (
            &created.snapshot_date,
            &created.import_time,
            created.entry_count
        ),
        (&None, &None, 0)
    );
    assert_eq!(again.into_inner(), created);
    assert_eq!(get(&world, &created.name).await.unwrap(), created);
    assert_eq!(
        (taken.code(), reason(&taken).as_str()),
        (Code::AlreadyExists, "EXCLUSION_LIST_EXISTS")
    );
    assert_eq!(reason(&reused), "REQUEST_ID_REUSED");
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn a_list_has_a_shape(db: PgPool) {
    let world = World::start(db).await;
    let wrong = pb::CreateExclusionListRequest {
        request_id: "1".to_owned(),
        exclusion_list_id: "Civil_Servants".to_owned(),
        exclusion_list: None,
    };

    let wrong = world
        .exclusion_lists()
        .create_exclusion_list(wrong)
        .await
        .unwrap_err();

    assert_eq!(
        fields(&wrong),
        [
            "request_id",
            "exclusion_list_id",
            "exclusion_list.display_name",
            "exclusion_list.source"
        ]
    );
    for name in ["exclusionLists/students", "exclusionLists/", "students"] {
        let refused = get(&world, name).await.unwrap_err();
        assert_eq!(reason(&refused), "NOT_FOUND", "{name}");
    }
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn lists_are_listed_in_pages(db: PgPool) {
    let world = World::start(db).await;
    let ids = ["students", "civil-servants", "deceased", "past-recipients"];
    for id in ids {
        snapshot::a_list(&world, id).await;
    }

    let mut names = Vec::new();
    let mut page_token = String::new();
    let mut pages = 0;
    loop {
        let request = pb::ListExclusionListsRequest {
            page_size: 3,
            page_token,
        };
        let page = world
            .exclusion_lists()
            .list_exclusion_lists(request)
            .await
            .unwrap()
            .into_inner();
        pages += 1;
        names.extend(page.exclusion_lists.into_iter().map(|list| list.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }

    let sorted = ["civil-servants", "deceased", "past-recipients", "students"];
    assert_eq!(names, sorted.map(|id| format!("exclusionLists/{id}")));
    assert_eq!(pages, 2);
}

#[sqlx::test(migrator = "identity::storage::MIGRATOR")]
async fn each_method_has_its_permission(db: PgPool) {
    let world = World::start(db).await;
    let list = snapshot::a_list(&world, "students").await;
    let account = world.account("siti@contoh.id").await;

    for token in [
        world.token("serviceAccounts/other", &["identity.persons.*"]),
        world.token(&account, &[]),
    ] {
        let mut caller = ExclusionListServiceClient::new(world.caller(Some(token)));
        let snapshot = Snapshot::of(&list, Kind::Full);
        let refused = [
            caller
                .create_exclusion_list(creation("deceased"))
                .await
                .unwrap_err(),
            caller
                .get_exclusion_list(pb::GetExclusionListRequest::default())
                .await
                .unwrap_err(),
            caller
                .list_exclusion_lists(pb::ListExclusionListsRequest::default())
                .await
                .unwrap_err(),
            caller
                .import_snapshot(tokio_stream::iter(snapshot.requests()))
                .await
                .unwrap_err(),
        ];
        for refused in refused {
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
    }
    assert_eq!(get(&world, &list).await.unwrap().snapshot_date, None);
}
