//! Whether a bucket honours `If-None-Match: *`: it is asked itself, at the first contact.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use aws_sdk_s3::operation::put_object::PutObjectOutput;
use bytes::Bytes;
use darkroom_jobs::JobId;
use tokio::sync::Mutex;
use tracing::debug;

use super::{
    Storage,
    error::{Error, ErrorKind},
    put::ObjectAttributes,
};
use crate::config::Switch;

const UNKNOWN: u8 = 0;
const IGNORED: u8 = 1;
const HONOURED: u8 = 2;

/// What is known of a bucket's conditions.
#[derive(Debug, Default)]
pub(super) struct Conditional {
    known: AtomicU8,
    /// One asks, the others wait for the answer.
    asking: Mutex<()>,
}

impl Conditional {
    /// What the bucket was seen to do last: versioning that is switched on makes Ceph ignore the condition.
    pub fn learn(&self, honoured: bool) {
        self.known.store(if honoured { HONOURED } else { IGNORED }, Relaxed);
    }

    fn known(&self) -> Option<bool> {
        match self.known.load(Relaxed) {
            UNKNOWN => None,
            known => Some(known == HONOURED),
        }
    }
}

impl Storage {
    /// Whether the bucket honours `If-None-Match: *`; asked once, and again while it could not be told.
    pub(super) async fn honours_conditions(&self) -> bool {
        match self.config.s3_conditional_writes {
            Switch::On => return true,
            Switch::Off => return false,
            Switch::Auto => {}
        }
        if let Some(honoured) = self.conditional.known() {
            return honoured;
        }
        let _asking = self.conditional.asking.lock().await;
        if let Some(honoured) = self.conditional.known() {
            return honoured;
        }
        match self.ask_for_conditions().await {
            Ok(honoured) => {
                self.conditional.learn(honoured);
                honoured
            }
            Err(error) => {
                debug!(%error, "conditional writes could not be probed");
                false
            }
        }
    }

    /// Writes a canary twice. The bucket itself is asked: Ceph ignores the condition where versioning is on.
    async fn ask_for_conditions(&self) -> Result<bool, Error> {
        let place = self.place_of(&format!("_darkroom/conditional/{}", JobId::generate()));
        let (canary, plain) = (Bytes::from_static(b"?"), ObjectAttributes::default());

        let first = match self.send(&place, canary.clone(), &plain, true).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(false),
            answer => answer?,
        };
        let second = self.send(&place, canary, &plain, true).await;

        self.remove_version(&place, first.version_id()).await?;
        match second {
            Err(error) if error.kind() == ErrorKind::Changed => Ok(true),
            Err(error) if error.kind() != ErrorKind::Unsupported => Err(error),
            other => {
                let version = other.as_ref().ok().and_then(PutObjectOutput::version_id);
                self.remove_version(&place, version).await?;
                Ok(false)
            }
        }
    }
}
