//! Texts that MySQL or MariaDB dislike.

use std::sync::Arc;

use scheduler_core::{
    JobStore, NodeId,
    store::{Clock, Inserted, JobQuery, StoreErrorKind},
};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};
use serde_json::json;

use crate::{server, sql_servers::database::Database};

#[test]
fn a_node_with_too_long_a_name_is_rejected() {
    block_on(async {
        let bench = Bench::new(Database::new(Clock::Server).setup().await);
        bench.due_job("report").await;
        let mut claim = bench.a().claim_call();
        claim.owner = NodeId::from("x".repeat(256));
        let error = bench.store().claim(&claim).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
        bench.a().claim_one("report").await;
    });
}

#[test]
fn ids_and_tasks_that_differ_in_case_or_spaces_are_others() {
    block_on(async {
        let bench = Bench::new(Database::new(Clock::Server).setup().await);
        let ids = ["A", "a", "a ", "a  ", "\u{e4}", "a\u{308}"];
        for id in ids {
            let mut job = bench.job(id, bench.now().await);
            job.body.task = id.into();
            bench.add(&job).await;
        }
        let listed = bench.store().jobs(&JobQuery { after: Some("A".into()), limit: 9 }).await.unwrap();
        let listed: Vec<&str> = listed.iter().map(|it| it.id().as_str()).collect();
        assert_eq!(listed, ["a", "a ", "a  ", "a\u{308}", "\u{e4}"]);
        for id in ids {
            let claim = bench.a().claim_call().with_tasks(Arc::new([id.into()].into()));
            let claimed = bench.a().send(&claim).await;
            assert_eq!(claimed.jobs.iter().map(|it| it.job.id.as_str()).collect::<Vec<_>>(), [id]);
            bench.a().release().await;
        }
        let removed = bench.store().remove(bench.at(), &["a ".into()]).await.unwrap().value;
        assert_eq!(removed.len(), 1);
        assert_eq!(bench.store().jobs(&JobQuery { after: None, limit: 9 }).await.unwrap().len(), 5);
    });
}

/// Half of each body are quotes, which take twice the room in a statement.
#[test]
fn as_much_goes_in_as_the_server_lets_through() {
    block_on(async {
        let database = Database::new(Clock::Server);
        let store = database.options().payload_limit(usize::MAX).connect(&server::url("mysql")).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(store.clone(), store.clone()));
        let limit = store.limits().payload;
        assert!((1 << 20..1 << 30).contains(&limit), "{limit}");
        let mut jobs: Vec<_> = (0..3).map(|n| bench.job(&format!("job-{n}"), bench.at())).collect();
        for job in &mut jobs {
            let empty = serde_json::to_string(&job.body).unwrap().len();
            job.body.args = json!("\"".repeat((limit - empty) / 2));
        }
        assert_eq!(store.insert(bench.at(), &jobs).await.unwrap().value, vec![Inserted::Added; 3]);
        assert_eq!(bench.stored("job-2").await.body, jobs[2].body);

        let mut over = bench.job("over", bench.at());
        over.body.args = json!("x".repeat(limit));
        let error = store.insert(bench.at(), &[bench.job("small", bench.at()), over]).await.unwrap_err();
        assert_eq!((error.kind(), error.item()), (StoreErrorKind::TooLarge, Some(1)), "{error}");
    });
}
