//! Promises of [`JobStore::changed`].

use futures_lite::future::{poll_once, yield_now};
use scheduler_core::{
    JobStore, Verdict,
    store::{Changed, Hint, RunChange, RunReport, Wakes},
};

use super::{Bench, moved, node::update_of};

/// The first call answers at once and says that everything may have changed.
pub async fn the_first_call_is_a_resync(bench: &Bench) {
    if bench.store().limits().wakes == Wakes::Never {
        return;
    }
    let change = bench.store().changed(0).await.unwrap();
    assert_eq!(change.hint, Some(Hint::Resync));
    assert_ne!(change.seen, 0);
}

/// An insert, an update, a removal, a request to stop: whichever node makes it, each node learns of it.
pub async fn each_node_learns_of_changes(bench: &Bench) {
    if bench.store().limits().wakes == Wakes::Never {
        return;
    }
    let stores = [bench.a().store, bench.b().store];
    let mut seen = [stores[0].changed(0).await.unwrap().seen, stores[1].changed(0).await.unwrap().seen];
    for n in 0..4 {
        let node = if n % 2 == 0 { bench.a() } else { bench.b() };
        let id = format!("job-{n}");
        bench.due_job(&id).await;
        learn(bench, stores, &mut seen, "an insert").await;
        node.update(&update_of(&bench.stored(&id).await)).await;
        learn(bench, stores, &mut seen, "an update").await;
        let now = Some(bench.now().await);
        let started = node.start_and(&id, |to| to.due = now).await;
        let claimed = node.claim_one(&id).await;
        let mut to = moved(&claimed);
        to.runs.push(RunChange::Cancel { seq: started.run.seq });
        node.settle_one(&to).await;
        learn(bench, stores, &mut seen, "a request to stop").await;
        node.store.remove(bench.at(), &[id.as_str().into()]).await.unwrap();
        learn(bench, stores, &mut seen, "a removal").await;
    }
}

/// A change that came while no call listened, or while the call was dropped, is not lost.
pub async fn no_change_is_lost(bench: &Bench) {
    if bench.store().limits().wakes == Wakes::Never {
        return;
    }
    let seen = bench.store().changed(0).await.unwrap().seen;
    drop(poll_once(bench.store().changed(seen)).await);
    bench.due_job("report").await;
    drop(poll_once(bench.store().changed(seen)).await);
    next_hint(bench, bench.store(), seen, "an insert").await;
}

/// Claims, moves and ends of runs give no hint: what a node can know from its own calls needs none.
pub async fn runs_give_no_hints(bench: &Bench) {
    if bench.store().limits().wakes == Wakes::Never || !bench.is_told_the_time() {
        return;
    }
    bench.due_job("report").await;
    let seen = bench.store().changed(0).await.unwrap().seen;
    let started = bench.b().start("report").await;
    bench.b().end(&started, Verdict::Ok).await;
    let change = poll_once(bench.store().changed(seen)).await;
    assert!(change.is_none_or(|change| change.unwrap().hint.is_none()));
}

/// A run that is given back is anybody's at once: the other nodes learn of it.
pub async fn what_is_given_back_is_told(bench: &Bench) {
    if bench.store().limits().wakes == Wakes::Never {
        return;
    }
    bench.due_job("report").await;
    let started = bench.a().start("report").await;
    let seen = bench.b().store.changed(0).await.unwrap().seen;
    bench.a().report(&started, RunReport::Release).await;
    next_hint(bench, bench.b().store, seen, "a run that was given back").await;
}

async fn learn(bench: &Bench, stores: [&dyn JobStore; 2], seen: &mut [u64; 2], what: &str) {
    for (store, seen) in stores.into_iter().zip(seen) {
        *seen = next_hint(bench, store, *seen, what).await.seen;
    }
}

async fn next_hint(bench: &Bench, store: &dyn JobStore, mut seen: u64, what: &str) -> Changed {
    // A store that is polled has it at once; one that pushes may take a while, which its own clock must not end.
    for _ in 0..100 {
        let change = store.changed(seen).await.expect("changes can be asked for");
        if change.hint.is_some() {
            return change;
        }
        seen = change.seen;
        bench.advance(std::time::Duration::from_millis(1)).await;
        yield_now().await;
    }
    panic!("nobody learned of {what}");
}
