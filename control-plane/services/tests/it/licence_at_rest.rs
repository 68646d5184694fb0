//! Keys at rest: what the files hold, and what opens them.

use std::fs;

use mcsp_catalog::Catalog;
use mcsp_services::licence::{LicenceError, LicenceService, MasterKey, MasterKeys, client};
use tonic::Code;

use crate::support::{World, plan_id, protection, request, values};

/// Every byte of the catalog's files.
fn files(world: &World) -> Vec<u8> {
    let files = fs::read_dir(world.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).flat_map(|path| fs::read(path).unwrap()).collect()
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn no_file_of_the_catalog_holds_a_key() {
    let world = World::on_file();
    let catalog = world.catalog().await;
    let master = world.master();
    let service = LicenceService::open(catalog.clone(), MasterKeys::new(master, Vec::new())).await.unwrap();
    let keys = values(&protection(&mut client(service), request(1)).await.unwrap());
    let check = |when: &str| {
        let bytes = files(&world);
        for (kid, key, _) in &keys {
            assert!(holds(&bytes, kid.to_string().as_bytes()), "{when}: the search finds what is there");
            let forms = [key.to_vec(), hex::encode(key).into_bytes(), hex::encode_upper(key).into_bytes()];
            assert!(forms.iter().all(|form| !holds(&bytes, form)), "{when}: a key lies in the clear");
        }
        let master = fs::read_to_string(world.folder.path().join("secrets/master.key")).unwrap();
        let master = hex::decode(master.trim_end()).unwrap();
        assert!(!holds(&bytes, &master) && !holds(&bytes, hex::encode(&master).as_bytes()), "{when}: the master key");
    };
    check("in the write-ahead log");
    catalog.close().await;
    check("in the file");
}

async fn open(catalog: Catalog, newest: &MasterKey, older: &[&MasterKey]) -> Result<LicenceService, LicenceError> {
    LicenceService::open(catalog, MasterKeys::new(newest.clone(), older.iter().copied().cloned().collect())).await
}

#[tokio::test]
async fn a_wrong_master_key_is_refused_at_the_start_by_its_id() {
    let world = World::on_file();
    protection(&mut world.client().await, request(1)).await.unwrap();
    let wrong = MasterKey::from_bytes([1; 32]);
    let Err(error) = open(world.catalog().await, &wrong, &[]).await else { panic!("a wrong master key was taken") };
    let id = world.master().id().to_owned();
    assert_eq!(
        error.to_string(),
        format!(
            "keys are sealed by master key {id}, which was not given: restore its file, or name it among the older ones"
        )
    );
}

#[tokio::test]
async fn after_a_change_of_master_keys_both_open_and_the_newest_seals() {
    let world = World::on_file();
    let (old, new) = (world.master(), MasterKey::from_bytes([1; 32]));
    let first = protection(&mut world.client().await, request(1)).await.unwrap();
    let catalog = world.catalog().await;
    let mut both = client(open(catalog.clone(), &new, &[&old]).await.unwrap());
    assert_eq!(values(&protection(&mut both, request(1)).await.unwrap()), values(&first));
    protection(&mut both, request(2)).await.unwrap();
    let sealed_by = async |plan| {
        let keys = catalog.content_keys(plan_id(plan)).await.unwrap();
        keys.into_iter().map(|key| key.master_id).collect::<Vec<_>>()
    };
    assert_eq!(sealed_by(1).await, vec![old.id(); 3]);
    assert_eq!(sealed_by(2).await, vec![new.id(); 3]);
    assert!(open(catalog.clone(), &new, &[]).await.is_err(), "the old one is still needed");
    assert!(open(catalog.clone(), &old, &[]).await.is_err());
}

#[tokio::test]
async fn a_service_that_meets_a_key_of_another_master_gives_none() {
    let world = World::on_file();
    let (ours, theirs) = (world.master(), MasterKey::from_bytes([1; 32]));
    // Both open on the empty catalog; the other one makes keys afterwards.
    let mut mine = client(open(world.catalog().await, &ours, &[]).await.unwrap());
    let mut other = client(open(world.catalog().await, &theirs, &[]).await.unwrap());
    protection(&mut other, request(1)).await.unwrap();
    let refused = protection(&mut mine, request(1)).await.err().unwrap();
    assert_eq!(refused.code(), Code::Internal);
    assert!(refused.message().contains(theirs.id()), "{refused}");
}

#[tokio::test]
async fn a_changed_row_gives_no_key() {
    let changes = [
        "UPDATE content_key SET sealed = (SELECT sealed FROM content_key WHERE track_class = 'AUDIO')",
        "UPDATE content_key SET nonce = zeroblob(12)",
        "UPDATE content_key SET key_id = substr(key_id, 2) || '0' WHERE track_class = 'SD'",
    ];
    for change in changes {
        let world = World::on_file();
        let mut client = world.client().await;
        protection(&mut client, request(1)).await.unwrap();
        sqlx::query(change).execute(&mut world.connection().await).await.unwrap();
        let refused = protection(&mut client, request(1)).await.err().unwrap();
        assert_eq!(refused.code(), Code::DataLoss, "{change}");
        assert!(refused.message().ends_with("does not open: its row was changed"), "{refused}");
    }
}
