//! A deletion and an upload of the same picture, each held before each thing that it asks Redis or the bucket, and then let go
//! on or killed: in the end the picture is gone, and both receipts tell the truth.
//!
//! All pairs of places run at once: quick, each place of an upload and of a deletion at least once; with
//! `DARKROOM_TEST_CHAOS=full` every place of a new picture's upload with every place of the deletion.

use std::collections::BTreeMap;

use darkroom_jobs::{Receipt, Status};

use crate::{
    delete_races_scene::{Pair, Scene, Way, What, asked},
    delete_races_workers::{At, worker},
    support::deleting::key_of,
};
use darkroom::config::steps::Step;

/// Pairs that are held at once: all of them within the time that a job has.
const AT_ONCE: usize = 45;

/// In which order they go on, and who dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    UploadThenDeletion,
    DeletionThenUpload,
    UploadDies,
    DeletionDies,
    BothDie,
}

impl Order {
    /// What may become of the upload. One that stood between its last look and its settlement when the picture was removed
    /// may have had time to say so, or not.
    fn expected(self, pair: &Pair) -> &'static [Status] {
        const DONE: &[Status] = &[Status::Done];
        const SUPERSEDED: &[Status] = &[Status::Superseded];
        const EITHER: &[Status] = &[Status::Done, Status::Superseded];
        let is_settled = pair.upload_at == At::Step(Step::Settled);
        let is_decided = is_settled || pair.upload_at == At::Step(Step::Settling);
        match self {
            _ if is_settled => DONE,
            Self::BothDie => SUPERSEDED,
            // Whoever comes again looks again.
            Self::UploadDies if pair.is_buried => SUPERSEDED,
            Self::UploadDies => DONE,
            Self::UploadThenDeletion if !pair.is_buried => DONE,
            _ if is_decided => DONE,
            _ if pair.has_looked => EITHER,
            _ => SUPERSEDED,
        }
    }
}

async fn play(order: Order, what: What) {
    let full = std::env::var_os("DARKROOM_TEST_CHAOS").is_some_and(|size| size == "full");
    for places in asked().await.places(what, full).chunks(AT_ONCE) {
        let mut scene = Scene::start(what, places).await;
        let (uploads, deletions) = go_on(&mut scene, order).await;
        judge(&mut scene, order, &uploads, &deletions).await;
    }
}

/// Receipts of the uploads, and of the deletions.
async fn go_on(scene: &mut Scene, order: Order) -> (Vec<Receipt>, Vec<Receipt>) {
    let uploads;
    let deletions;
    match order {
        Order::UploadThenDeletion => {
            scene.let_go_on("upload");
            uploads = scene.uploads().await;
            scene.let_go_on("delete");
            deletions = scene.deletions().await;
        }
        Order::DeletionThenUpload => {
            scene.let_go_on("delete");
            deletions = scene.deletions().await;
            scene.let_go_on("upload");
            uploads = scene.uploads().await;
        }
        Order::UploadDies => {
            scene.uploader.kill().await;
            scene.uploader = worker(&scene.darkroom, "upload", "");
            uploads = scene.uploads().await;
            scene.let_go_on("delete");
            deletions = scene.deletions().await;
        }
        Order::DeletionDies => {
            scene.deleter.kill().await;
            scene.deleter = worker(&scene.darkroom, "delete", "");
            deletions = scene.deletions().await;
            scene.let_go_on("upload");
            uploads = scene.uploads().await;
        }
        Order::BothDie => {
            scene.uploader.kill().await;
            scene.deleter.kill().await;
            scene.deleter = worker(&scene.darkroom, "delete", "");
            deletions = scene.deletions().await;
            scene.uploader = worker(&scene.darkroom, "upload", "");
            uploads = scene.uploads().await;
        }
    }
    (uploads, deletions)
}

/// Nothing is left; an upload is done only where it may be; a deletion says that it is done, and removed the picture of an upload
/// that was, unless the one that removed it died before it could say so. Each is announced once.
async fn judge(scene: &mut Scene, order: Order, uploads: &[Receipt], deletions: &[Receipt]) {
    for ((pair, upload), delete) in scene.pairs.iter().zip(uploads).zip(deletions) {
        let of = format!(
            "{order:?} {:?} {:?} {:?}: {upload:?} {delete:?}",
            pair.way, pair.upload_at, pair.delete_at
        );
        let deletion = delete.deletion.as_ref().unwrap_or_else(|| panic!("{of}"));
        assert!(order.expected(pair).contains(&upload.status), "{of}");
        assert_eq!((delete.status, deletion.verified), (Status::Done, true), "{of}");
        let object = upload.object.as_ref().map(|object| object.key.clone());
        assert_eq!(object, (upload.status == Status::Done).then(|| key_of(&pair.upload)), "{of}");
        assert!(
            !scene.darkroom.storage.exists(&key_of(&pair.upload)).await.expect("the bucket answers"),
            "{of}"
        );
        // The variant, the picture, and an older one that was there before it.
        let most = if pair.way == Way::Back { 3 } else { 2 };
        assert!(deletion.objects <= most, "{of}");
        if !matches!(order, Order::DeletionDies | Order::BothDie) {
            let least = if upload.status == Status::Done { 2 } else { 1 };
            assert!(deletion.objects >= least, "{of}");
        }
    }
    scene.darkroom.eventually_only(&[]).await;
    let mut announced = BTreeMap::<String, usize>::new();
    for event in scene.darkroom.events().await {
        *announced.entry(event.subject.expect("it is about a job")).or_default() += 1;
    }
    assert_eq!(announced.len(), 2 * scene.pairs.len());
    assert!(announced.values().all(|times| *times == 1), "{announced:?}");
}

macro_rules! races {
    ($($name:ident = $order:ident)*) => {
        mod of_an_image {
            $(#[tokio::test] async fn $name() { super::play(super::Order::$order, super::What::Image).await; })*
        }
        mod of_an_owner {
            $(#[tokio::test] async fn $name() { super::play(super::Order::$order, super::What::Owner).await; })*
        }
    };
}

races! {
    the_upload_goes_on_and_then_the_deletion = UploadThenDeletion
    the_deletion_goes_on_and_then_the_upload = DeletionThenUpload
    the_upload_dies_and_is_delivered_again_while_the_deletion_is_held = UploadDies
    the_deletion_dies_and_is_delivered_again_while_the_upload_is_held = DeletionDies
    both_die_and_both_are_delivered_again = BothDie
}
