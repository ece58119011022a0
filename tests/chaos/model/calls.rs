//! Which calls can be made of a queue, and what the specification answers.

use proptest::{prelude::*, sample::select, strategy::Union};
use proptest_state_machine::ReferenceStateMachine;

use super::spec::{Outcome, Queue};

/// How many of the last deliveries are settled, given back or renewed: some hold their job, others have lost it.
const RECENT: usize = 12;

/// One call, by whoever makes it.
#[derive(Clone, Debug)]
pub enum Call {
    Enqueue {
        id: String,
        payload: u8,
        key: Option<char>,
        later: bool,
    },
    /// By a client that has no script.
    Push {
        id: String,
        due: bool,
    },
    Claim {
        tokens: Vec<String>,
    },
    Settle {
        id: String,
        token: String,
        outcome: Outcome,
        attempts: u32,
        next: Option<String>,
    },
    GiveBack {
        id: String,
        token: String,
    },
    Extend {
        held: Vec<(String, String)>,
    },
    Cancel {
        id: String,
        deliveries: u32,
    },
    Discard {
        id: String,
        key: Option<char>,
    },
    Retry {
        ids: Vec<String>,
    },
    Pause(bool),
    LeaseRunsOut {
        id: String,
    },
    TimeComes {
        id: String,
    },
    Tick,
    /// The retention of settled jobs is over.
    Forget,
}

/// What a call is answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Answer {
    #[default]
    None,
    Enqueued(u8, String),
    /// Id, deliveries, attempts, crashes.
    Claimed(Vec<(String, u32, u32, u32)>),
    Code(u8),
    /// Numbers, from 1.
    Lost(Vec<usize>),
    Count(u64),
    /// Promoted, returned.
    Moved(u64, u64),
}

/// The queue, and what was named in it so far.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub queue: Queue,
    /// To the last call.
    pub answer: Answer,
    /// Every id that a job ever had.
    ids: Vec<String>,
    tokens: usize,
    /// Deliveries that were begun, of which any may come back at any time.
    issued: Vec<(String, String)>,
}

/// The calls of a walk.
pub struct Calls;

impl ReferenceStateMachine for Calls {
    type State = State;
    type Transition = Call;

    fn init_state() -> BoxedStrategy<State> {
        Just(State::default()).boxed()
    }

    fn transitions(state: &State) -> BoxedStrategy<Call> {
        let fresh = format!("j{}", state.ids.len());
        let mut calls = vec![
            (10, enqueues(Just(fresh.clone()).boxed())),
            (8, any::<bool>().prop_map(move |due| Call::Push { id: fresh.clone(), due }).boxed()),
            (25, claims(state.tokens)),
            (10, Just(Call::Tick).boxed()),
            (2, any::<bool>().prop_map(Call::Pause).boxed()),
            (1, Just(Call::Forget).boxed()),
        ];
        if !state.ids.is_empty() {
            calls.extend(on_known_jobs(state));
        }
        let is_forgotten = |id: &&String| !state.queue.jobs.contains_key(*id);
        let husks: Vec<_> = state.queue.active.iter().filter(is_forgotten).cloned().collect();
        if !husks.is_empty() {
            // The id of a job that was cancelled and forgotten comes anew, before a claim has met its husk.
            calls.push((15, enqueues(select(husks).boxed())));
        }
        if !state.issued.is_empty() {
            calls.extend(on_deliveries(state));
        }
        for (weight, ids, call) in [
            (7, state.queue.leases.keys(), (|id| Call::LeaseRunsOut { id }) as fn(String) -> Call),
            (7, state.queue.scheduled.keys(), |id| Call::TimeComes { id }),
        ] {
            let ids: Vec<_> = ids.cloned().collect();
            if !ids.is_empty() {
                calls.push((weight, select(ids).prop_map(call).boxed()));
            }
        }
        Union::new_weighted(calls).boxed()
    }

    fn preconditions(state: &State, call: &Call) -> bool {
        let issued = |id: &String, token: &String| {
            state.issued.iter().any(|(known, given)| known == id && given == token)
        };
        let fresh = |id: &String| !state.ids.contains(id);
        match call {
            Call::Push { id, .. } => fresh(id),
            Call::Claim { tokens } => {
                tokens.iter().all(|token| state.issued.iter().all(|(_, given)| given != token))
            }
            Call::Settle { id, token, next, .. } => issued(id, token) && next.as_ref().is_none_or(fresh),
            Call::GiveBack { id, token } => issued(id, token),
            Call::Extend { held } => held.iter().all(|(id, token)| issued(id, token)),
            Call::LeaseRunsOut { id } => state.queue.leases.contains_key(id),
            Call::TimeComes { id } => state.queue.scheduled.contains_key(id),
            _ => true,
        }
    }

    fn apply(mut state: State, call: &Call) -> State {
        let queue = &mut state.queue;
        state.answer = match call {
            Call::Enqueue { id, payload, key, later } => {
                let (answer, id) = queue.enqueue(id, *payload, *key, *later);
                Answer::Enqueued(answer, id)
            }
            Call::Push { id, due } => {
                queue.push(id, *due);
                Answer::None
            }
            Call::Claim { tokens } => {
                let claimed = queue.claim(tokens);
                let tokens = claimed.iter().filter_map(|(id, job)| Some((id.clone(), job.token.clone()?)));
                state.issued.extend(tokens);
                let row =
                    |(id, job): (String, super::spec::Job)| (id, job.deliveries, job.attempts, job.crashes);
                Answer::Claimed(claimed.into_iter().map(row).collect())
            }
            Call::Settle { id, token, outcome, attempts, next } => {
                Answer::Code(queue.settle(id, token, *outcome, *attempts, next.as_deref()))
            }
            Call::GiveBack { id, token } => Answer::Code(queue.give_back(id, token)),
            Call::Extend { held } => Answer::Lost(queue.extend(held)),
            Call::Cancel { id, deliveries } => Answer::Code(queue.cancel(id, *deliveries)),
            Call::Discard { id, .. } => Answer::Code(queue.discard(id)),
            Call::Retry { ids } => Answer::Count(queue.retry(ids)),
            Call::Pause(paused) => Answer::Code(queue.pause(*paused)),
            Call::LeaseRunsOut { id } => {
                queue.leases.insert(id.clone(), true);
                Answer::None
            }
            Call::TimeComes { id } => {
                queue.scheduled.insert(id.clone(), true);
                Answer::None
            }
            Call::Tick => {
                let (promoted, returned) = queue.tick();
                Answer::Moved(promoted, returned)
            }
            Call::Forget => {
                let promoted = queue.promote();
                queue.forget();
                Answer::Moved(promoted, 0)
            }
        };
        state.note_names(call);
        state
    }
}

impl State {
    fn note_names(&mut self, call: &Call) {
        let named = match call {
            Call::Enqueue { id, .. } | Call::Push { id, .. } => Some(id),
            Call::Settle { next, .. } => next.as_ref(),
            Call::Claim { tokens } => {
                self.tokens += tokens.len();
                None
            }
            _ => None,
        };
        if let Some(id) = named.filter(|id| !self.ids.contains(id)) {
            self.ids.push(id.clone());
        }
    }
}

fn enqueues(ids: BoxedStrategy<String>) -> BoxedStrategy<Call> {
    let keys = prop_oneof![4 => Just(None), 1 => select(vec!['a', 'b', 'c']).prop_map(Some)];
    let parts = (ids, 0_u8..2, keys, prop::bool::weighted(0.2));
    parts.prop_map(|(id, payload, key, later)| Call::Enqueue { id, payload, key, later }).boxed()
}

fn claims(used: usize) -> BoxedStrategy<Call> {
    let tokens = move |count| (used..used + count).map(|number| format!("t{number}")).collect();
    (1_usize..4).prop_map(move |count| Call::Claim { tokens: tokens(count) }).boxed()
}

/// On any job that there ever was, in whatever place.
fn on_known_jobs(state: &State) -> Vec<(u32, BoxedStrategy<Call>)> {
    let ids = state.ids.clone();
    let deliveries: Vec<_> =
        ids.iter().map(|id| (id.clone(), state.queue.jobs.get(id).map_or(0, |job| job.deliveries))).collect();
    let keys: Vec<_> =
        ids.iter().map(|id| (id.clone(), state.queue.jobs.get(id).and_then(|job| job.key))).collect();
    let cancels = (select(deliveries), prop::bool::weighted(0.9))
        .prop_map(|((id, right), is_right)| Call::Cancel { id, deliveries: right + u32::from(!is_right) });
    vec![
        (3, enqueues(select(ids.clone()).boxed())),
        (4, cancels.boxed()),
        (3, select(keys).prop_map(|(id, key)| Call::Discard { id, key }).boxed()),
        (3, prop::collection::vec(select(ids), 1..4).prop_map(|ids| Call::Retry { ids }).boxed()),
    ]
}

/// On one of the last deliveries, whether or not it still holds its job.
fn on_deliveries(state: &State) -> Vec<(u32, BoxedStrategy<Call>)> {
    let recent = state.issued[state.issued.len().saturating_sub(RECENT)..].to_vec();
    let next = format!("j{}", state.ids.len());
    let next = prop_oneof![9 => Just(None), 1 => Just(Some(next))];
    let outcomes = select(vec![Outcome::Done, Outcome::Dead, Outcome::Again, Outcome::Again]);
    let settles = (select(recent.clone()), outcomes, 0_u32..20, next).prop_map(
        |((id, token), outcome, attempts, next)| Call::Settle { id, token, outcome, attempts, next },
    );
    let extends = prop::collection::vec(select(recent.clone()), 1..4);
    vec![
        (20, settles.boxed()),
        (8, select(recent).prop_map(|(id, token)| Call::GiveBack { id, token }).boxed()),
        (7, extends.prop_map(|held| Call::Extend { held }).boxed()),
    ]
}
