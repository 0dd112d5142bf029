//! Promises about rows that cannot be read, for stores whose rows others can reach.

use scheduler_core::{
    BODY_VERSION, JobState, Listed, Uid,
    store::{Inserted, JobQuery, Removed, Updated},
};

use super::{Bench, Damage, node::update_of};

const ALL: [Damage; 4] = [Damage::Body, Damage::Version, Damage::State, Damage::Uid];

/// A due row that cannot be decoded is quarantined by a claim: reported once, kept as it is, skipped from then on. The
/// sound jobs of the same claim are taken.
pub async fn a_broken_row_is_quarantined(bench: &Bench) {
    for damage in ALL {
        let id = format!("{damage:?}");
        let broken = bench.due_job(&id).await;
        if bench.damage(&broken.id, damage).await.is_err() {
            return;
        }
        bench.due_job(&format!("sound beside {id}")).await;

        let claimed = bench.a().claim().await;

        let [raw] = &claimed.quarantined[..] else { panic!("{damage:?}: {claimed:?}") };
        assert_eq!((&raw.id, raw.reason.is_empty()), (&broken.id, false));
        assert!(claimed.jobs.iter().any(|it| it.job.id == format!("sound beside {id}").as_str()), "{claimed:?}");
        let again = bench.b().claim().await;
        assert_eq!((again.quarantined, again.next_due.is_none_or(|due| due > again.now)), (vec![], true));
        match bench.store().job(&broken.id).await.unwrap() {
            Some(Listed::Raw(listed)) => assert_eq!(listed, *raw),
            // A state that is no word has given way to one that is, so that the row can be read.
            Some(Listed::Job(job)) => {
                assert_eq!((damage, job.state), (Damage::State, JobState::Quarantined(raw.reason.clone())));
            }
            None => panic!("job {id} is gone"),
        }
    }
}

/// A broken row is listed as it is, whether or not a claim has met it; reading does not change it.
pub async fn a_broken_row_is_listed_as_it_is(bench: &Bench) {
    let broken = bench.due_job("broken").await;
    if bench.damage(&broken.id, Damage::Body).await.is_err() {
        return;
    }
    bench.due_job("sound").await;
    for _ in 0..2 {
        let listed = bench.store().jobs(&JobQuery { after: None, limit: 10 }).await.unwrap();
        let [Listed::Raw(raw), Listed::Job(_)] = &listed[..] else { panic!("{listed:?}") };
        assert_eq!((raw.id.as_str(), raw.body.as_str()), ("broken", "{\"v\": 1, \"task\""));
        assert_eq!(raw.uid, broken.uid.to_string());
    }
    assert_eq!(bench.a().update(&update_of(&broken)).await, Updated::Gone);
    assert_eq!(bench.a().claim().await.quarantined.len(), 1);
}

/// A broken row keeps its id until it is removed, by id as any other.
pub async fn a_broken_row_is_removed_by_id(bench: &Bench) {
    for damage in ALL {
        let broken = bench.due_job("broken").await;
        if bench.damage(&broken.id, damage).await.is_err() {
            return;
        }
        let another = bench.job("broken", bench.now().await);
        let reply = bench.store().insert(bench.at(), std::slice::from_ref(&another)).await.unwrap();
        let [Inserted::Conflict(there)] = &reply.value[..] else { panic!("{damage:?}: {reply:?}") };
        assert!(matches!(&**there, Listed::Raw(_)), "{there:?}");
        bench.a().claim().await;

        let removed = bench.store().remove(bench.at(), &["broken".into()]).await.unwrap().value;

        assert_eq!(removed[0].running(), Some(0), "{damage:?}");
        assert_eq!(bench.store().job(&"broken".into()).await.unwrap(), None);
    }
}

/// A hundred broken rows that are the oldest do not keep the sound ones from their turn.
pub async fn broken_rows_do_not_clog_the_claim(bench: &Bench) {
    let now = bench.now().await;
    for n in 0..20 {
        let broken = bench.job(&format!("broken-{n}"), now - chrono::TimeDelta::milliseconds(20));
        bench.add(&broken).await;
        if bench.damage(&broken.id, Damage::Body).await.is_err() {
            return;
        }
    }
    bench.due_job("sound").await;
    let mut quarantined = 0;
    for _ in 0..6 {
        let claimed = bench.a().send(&bench.a().claim_call().with_limit(5)).await;
        quarantined += claimed.quarantined.len();
        if !claimed.jobs.is_empty() {
            assert_eq!((quarantined, claimed.more), (20, false));
            return;
        }
        assert!(claimed.more, "{claimed:?}");
    }
    panic!("the sound job never got its turn");
}

/// A row of a newer version is listed as it is, with that reason, and left alone otherwise.
pub async fn a_newer_row_is_listed_as_it_is(bench: &Bench) {
    let mut newer = bench.job("newer", bench.now().await);
    newer.body.v = BODY_VERSION + 1;
    bench.add(&newer).await;
    let listed = bench.store().job(&newer.id).await.unwrap();
    let Some(Listed::Raw(raw)) = &listed else { panic!("{listed:?}") };
    assert!(raw.reason.contains(&format!("version {}", newer.body.v)), "{}", raw.reason);
    assert_eq!((raw.uid.parse::<Uid>(), raw.id.clone()), (Ok(newer.uid), newer.id.clone()));
    let pause = update_of(&newer).with_state(JobState::Paused);
    assert_eq!(bench.a().update(&pause).await, Updated::Gone);
    let removed = bench.store().remove(bench.at(), &[newer.id]).await.unwrap().value;
    assert_eq!(removed, [Removed::Removed { uid: Some(newer.uid), running: 0, cancelled: vec![] }]);
}
