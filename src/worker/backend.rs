//! What apalis sees of the queue: a receiver of deliveries that were claimed already.
//!
//! Claiming, renewing and settling are the consumer's, so nothing that apalis does or drops can lose a job.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    layers::Identity,
    task::{Task, builder::TaskBuilder},
    worker::context::WorkerContext,
};

use crate::queue::{consumer::Deliveries, delivery::Delivery};

/// A delivery on its way through apalis, which may clone what it carries: only the first to open it gets the delivery.
#[derive(Clone, Debug)]
pub struct Parcel(Arc<Mutex<Option<Delivery>>>);

impl Parcel {
    fn new(delivery: Delivery) -> Self {
        Self(Arc::new(Mutex::new(Some(delivery))))
    }

    /// The delivery; `None` when it was taken before.
    pub fn open(&self) -> Option<Delivery> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The deliveries of one queue.
#[derive(Debug)]
pub struct Receiver(Option<Deliveries>);

impl Receiver {
    /// Ends when the consumer does.
    pub fn new(deliveries: Deliveries) -> Self {
        Self(Some(deliveries))
    }

    /// One that has nothing: for a worker that apalis starts again although its deliveries have ended.
    pub fn exhausted() -> Self {
        Self(None)
    }
}

impl Backend for Receiver {
    type Task = Task<Parcel>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<Parcel>, Infallible>>> {
        let Some(deliveries) = &mut self.0 else { return Poll::Ready(None) };
        let task = |delivery| Ok(TaskBuilder::new(Parcel::new(delivery)).build());
        deliveries.poll_recv(cx).map(|delivery| delivery.map(task))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for Receiver {
    type Args = Parcel;
    type Id = u64;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}
