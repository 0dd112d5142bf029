//! Texts that PostgreSQL dislikes.

use scheduler_core::{
    NodeId,
    store::{Clock, StoreErrorKind},
};
use scheduler_testkit::store::{Bench, block_on};

use crate::sql_servers::database::Database;

#[test]
fn a_name_that_postgres_cannot_keep_is_rejected() {
    block_on(async {
        let bench = Bench::new(Database::new(Clock::Server).setup().await);
        let mut job = bench.job("report", bench.at());
        job.body.task = "nul \u{0}".into();
        let error = bench.store().insert(bench.at(), &[job]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
        let error = bench.store().release(bench.at(), &NodeId::from("nul \u{0}")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Rejected, "{error}");
        bench.due_job("report").await;
    });
}
