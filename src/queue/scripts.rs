//! The scripts. Each says in its head what it does, touches and answers.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {$(
        $(#[$doc])*
        pub static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!(concat!("lua/", $file))));
    )*};
}

scripts! {
    /// Keeps a health report, and announces a change.
    HEALTH_WRITE = "health_write.lua";
    /// Takes ready jobs.
    JOBS_CLAIM = "jobs_claim.lua";
    /// Sends dead jobs round again.
    JOBS_RETRY = "jobs_retry.lua";
    /// Settles a job that waits.
    JOB_CANCEL = "job_cancel.lua";
    /// Forgets a dead job.
    JOB_DISCARD = "job_discard.lua";
    /// Ends one delivery.
    JOB_SETTLE = "job_settle.lua";
    /// Gives one job back.
    LEASE_RETURN = "lease_return.lua";
    /// Renews the leases of a process.
    LEASES_EXTEND = "leases_extend.lua";
    /// Gives out the next turn at a host.
    PACE_TAKE = "pace_take.lua";
    /// Lets nobody claim from a queue.
    QUEUE_PAUSE = "queue_pause.lua";
    /// Lets workers claim from a queue again.
    QUEUE_RESUME = "queue_resume.lua";
    /// The upkeep of all queues.
    QUEUES_TICK = "queues_tick.lua";
    /// Enqueues the one job of a periodic slot.
    SLOT_ENQUEUE = "slot_enqueue.lua";
    /// Says that something was deleted.
    TOMBSTONE_WRITE = "tombstone_write.lua";
}
