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
    /// Finds jobs of an owner.
    JOBS_OF_OWNER = "jobs_of_owner.lua";
    /// Makes jobs forget what their owner wants forgotten.
    JOBS_SCRUB = "jobs_scrub.lua";
    /// Says of jobs that nobody has seen that they were there now.
    JOBS_STAMP = "jobs_stamp.lua";
    /// Takes ready jobs.
    JOBS_CLAIM = "jobs_claim.lua";
    /// Ends deliveries.
    JOBS_SETTLE = "jobs_settle.lua";
    /// Sends dead jobs round again.
    JOBS_RETRY = "jobs_retry.lua";
    /// Settles a job that waits.
    JOB_CANCEL = "job_cancel.lua";
    /// Forgets a dead job.
    JOB_DISCARD = "job_discard.lua";
    /// Raises the number of the layout.
    LAYOUT_RAISE = "layout_raise.lua";
    /// Gives one job back.
    LEASE_RETURN = "lease_return.lua";
    /// Renews the leases of a process.
    LEASES_EXTEND = "leases_extend.lua";
    /// Leaves a note for the next delivery.
    NOTE_WRITE = "note_write.lua";
    /// Says that everything of an owner was deleted.
    OWNER_BURY = "owner_bury.lua";
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
    /// Tells what a process does.
    WORKER_BEAT = "worker_beat.lua";
}
