//! The canary: an object that is put, got and deleted to see whether a bucket works.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_s3::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut},
    },
    error::BoxError,
    primitives::{DateTime, DateTimeFormat},
};
use bytes::Bytes;
use darkroom_jobs::{JobId, Timestamp};
use tokio::time::Instant;
use tracing::debug;

use super::{Latencies, now, within};
use crate::storage::{
    Place, Storage,
    error::{Error, ErrorKind},
    put::ObjectAttributes,
};

/// Where canaries are, below `S3_PREFIX`.
const FOLDER: &str = "_darkroom/health";
/// Where those are that look at the originals' side.
const STAGING_FOLDER: &str = "staging/_darkroom";

/// What a round came upon, as far as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Measured {
    pub latency: Latencies,
    /// Whether `If-None-Match: *` is honoured.
    pub conditional: Option<bool>,
    pub clock_skew_ms: Option<i64>,
}

/// An object that this probe has put, or may have. Dropped before it was removed, it is removed in the background.
struct Canary {
    storage: Storage,
    place: Place,
    versions: Vec<Option<String>>,
}

impl Canary {
    fn new(storage: &Storage, folder: &str) -> Self {
        let place = storage.place_of(&format!("{folder}/{}", JobId::generate()));
        Self { storage: storage.clone(), place, versions: Vec::new() }
    }

    /// Its own name, so that no other is taken for it.
    fn body(&self) -> Bytes {
        Bytes::from(self.place.name.clone())
    }

    async fn put(&mut self, body: Bytes, once: bool, deadline: Instant) -> Result<(), Error> {
        // Until it is answered nobody knows whether it is there.
        let at = self.versions.len();
        self.versions.push(None);
        let plain = ObjectAttributes::default();
        let put = self.storage.send(&self.place, body, &plain, once);
        match within(deadline, "PutObject", put).await {
            Ok(answer) => self.versions[at] = answer.version_id,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            Err(error) => {
                self.versions.pop();
                return Err(error);
            }
        }
        Ok(())
    }

    async fn remove(&mut self, deadline: Instant) -> Result<(), Error> {
        while let Some(version) = self.versions.last() {
            let removal = self.storage.remove_version(&self.place, version.as_deref());
            within(deadline, "DeleteObject", removal).await?;
            self.versions.pop();
        }
        Ok(())
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        let (storage, place, versions) =
            (self.storage.clone(), self.place.clone(), std::mem::take(&mut self.versions));
        if versions.is_empty() {
            return;
        }
        let removal = async move {
            for version in versions {
                if let Err(error) = storage.remove_version(&place, version.as_deref()).await {
                    debug!(%error, object.key = place.name, "canary not removed");
                }
            }
        };
        // Without a runtime the process is at its end, and the canary stays.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(removal);
        }
    }
}

impl Storage {
    /// Now, by the server's clock: to the second, and never in the future of it. `None` when it does not tell the time. One
    /// HEAD of the bucket.
    ///
    /// # Errors
    ///
    /// Those of the HEAD.
    pub async fn now(&self) -> Result<Option<Timestamp>, Error> {
        let clock = ServerClock::default();
        self.ask_for_bucket(&clock).await?;
        let ahead_ms = clock.skew_ms();
        Ok(ahead_ms.map(|ahead| Timestamp::from_unix_ms(now().unix_ms().saturating_add_signed(ahead))))
    }

    /// HEAD of the bucket, and a look at the server's clock.
    pub(super) async fn first_contact(
        &self,
        measured: &mut Measured,
        deadline: Instant,
    ) -> Result<(), Error> {
        let clock = ServerClock::default();
        let head = within(deadline, "HeadBucket", self.ask_for_bucket(&clock)).await;
        measured.clock_skew_ms = clock.skew_ms();
        measured.latency.head = Some(head?);
        Ok(())
    }

    /// HEAD of the bucket, with the reason when it is refused; how long it took, ms.
    async fn ask_for_bucket(&self, clock: &ServerClock) -> Result<u64, Error> {
        let bucket = &self.config.s3_bucket;
        let ask = || {
            let request = self.client.head_bucket().bucket(bucket).customize().interceptor(clock.clone());
            async move {
                let since = Instant::now();
                let answer = self.ask("HeadBucket", request.send()).await;
                answer.map_err(Error::about_a_bucket).map(|_| ms(since.elapsed()))
            }
        };
        self.explained(bucket, ask).await
    }

    /// PUT, GET, DELETE; on the way it is learnt whether a PUT that must not overwrite is refused.
    pub(super) async fn canary_round(&self, measured: &mut Measured, deadline: Instant) -> Result<(), Error> {
        let mut canary = Canary::new(self, FOLDER);
        let body = canary.body();
        let since = Instant::now();
        canary.put(body.clone(), false, deadline).await?;
        measured.latency.put = Some(ms(since.elapsed()));

        let place = canary.place.clone();
        let since = Instant::now();
        let get = async {
            self.get_again(&place, &body, deadline).await?;
            measured.latency.get = Some(ms(since.elapsed()));
            Ok(())
        };
        // At once, as the time is short: what the second PUT writes, if it does, is the same.
        let (got, again) = tokio::join!(get, canary.put(body.clone(), true, deadline));
        got?;
        measured.conditional = match again.map_err(|error| error.kind()) {
            Ok(()) | Err(ErrorKind::Unsupported) => Some(false),
            Err(ErrorKind::Changed) => Some(true),
            Err(_) => None,
        };

        let since = Instant::now();
        canary.remove(deadline).await?;
        measured.latency.delete = Some(ms(since.elapsed()));
        Ok(())
    }

    /// PUT, GET, DELETE among the originals. Tells whether anybody could have got it; `None` when that was not answered.
    pub(super) async fn staging_round(&self, deadline: Instant) -> Result<Option<bool>, Error> {
        let of_originals = |error: Error| match error.operation() {
            "PutObject" => error.during("PutObject below staging/"),
            "GetObject" => error.during("GetObject below staging/"),
            _ => error.during("DeleteObject below staging/"),
        };
        let mut canary = Canary::new(self, STAGING_FOLDER);
        let (place, body) = (canary.place.clone(), canary.body());
        canary.put(body.clone(), false, deadline).await.map_err(of_originals)?;
        let (got, public) = tokio::join!(
            self.get_again(&place, &body, deadline),
            self.is_given_to_strangers(&place, deadline)
        );
        got.map_err(of_originals)?;
        match canary.remove(deadline).await {
            Err(error) if !is_passing(error.kind()) => return Err(of_originals(error)),
            // What stays for now goes when the canary is dropped.
            Err(error) => debug!(%error, "canary not removed in time"),
            Ok(()) => {}
        }
        Ok(public)
    }

    /// Asks for a canary as anybody could.
    async fn is_given_to_strangers(&self, place: &Place, deadline: Instant) -> Option<bool> {
        let request = self.client.get_object().bucket(&place.bucket).key(&place.name);
        let request = async {
            let answer = request.customize().interceptor(Unsigned).send().await;
            answer.map(drop).map_err(|error| Error::of("GetObject", error))
        };
        match within(deadline, "GetObject", request).await {
            Ok(()) => Some(true),
            Err(error) => (!is_passing(error.kind())).then_some(false),
        }
    }

    /// Gets a canary, and compares it with what was put.
    async fn get_again(&self, place: &Place, put: &Bytes, deadline: Instant) -> Result<(), Error> {
        let found = within(deadline, "GetObject", self.fetch(place)).await?;
        if found == put { Ok(()) } else { Err(Error::new(ErrorKind::VerifyFailed, "GetObject")) }
    }

    async fn fetch(&self, place: &Place) -> Result<Bytes, Error> {
        let request = self.client.get_object().bucket(&place.bucket).key(&place.name);
        let answer = match request.send().await.map_err(|error| Error::of("GetObject", error)) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => {
                return Err(Error::because(ErrorKind::VerifyFailed, "GetObject", gone));
            }
            answer => answer?,
        };
        let body = answer.body.collect().await;
        Ok(body.map_err(|error| Error::because(ErrorKind::Unavailable, "GetObject", error))?.into_bytes())
    }
}

/// Whether the next request may be answered otherwise.
const fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unavailable | ErrorKind::Throttled)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Sends a request without its signature.
#[derive(Debug)]
struct Unsigned;

impl Intercept for Unsigned {
    fn name(&self) -> &'static str {
        "unsigned"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        for header in ["authorization", "x-amz-security-token"] {
            context.request_mut().headers_mut().remove(header);
        }
        Ok(())
    }
}

/// Reads the `Date` of the answer.
#[derive(Clone, Debug, Default)]
struct ServerClock(Arc<Mutex<Option<i64>>>);

impl ServerClock {
    /// How far the server's clock is ahead of ours; dates have whole seconds, so a second is nothing.
    fn skew_ms(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "server clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(theirs) = date.and_then(|date| date.to_millis().ok()) {
            let ours = i64::try_from(now().unix_ms()).unwrap_or(i64::MAX);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(theirs - ours);
        }
        Ok(())
    }
}
