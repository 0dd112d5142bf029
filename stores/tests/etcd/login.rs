//! A server that asks who is there: one of the test's own, since nobody else could use it.

use crate::own_server::OwnServer;
use scheduler_core::{
    JobStore,
    store::{Hint, StoreErrorKind},
};
use scheduler_stores::{EtcdOptions, EtcdStore};
use scheduler_testkit::store::{Bench, StoreUnderTest, block_on};

#[test]
fn a_login_is_checked_used_and_renewed() {
    let mut server = OwnServer::start();
    server.ask_who_is_there();
    let address = server.address();
    block_on(async {
        for url in [format!("etcd://{address}"), format!("etcd://ann:wrong@{address}")] {
            let error = EtcdStore::connect(&url).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            let message = error.to_string();
            assert!(message.contains("another user and password") && !message.contains("wrong"), "{message}");
        }
        let error = EtcdStore::connect(&format!("etcd://ann:p%40ss@{address}/other_")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
        assert!(error.to_string().contains("`other_*`: the user may not do that; grant"), "{error}");

        let a = EtcdStore::connect(&format!("etcd://ann:p%40ss@{address}")).await.unwrap();
        let b = EtcdOptions::new().login("ann", "p@ss").connect(&format!("etcd://{address}")).await.unwrap();
        let bench = Bench::new(StoreUnderTest::new(a.clone(), b));
        let seen = a.changed(0).await.unwrap().seen;
        let mut waiting = Box::pin(a.changed(seen));
        assert!(futures_lite::future::poll_once(&mut waiting).await.is_none(), "nothing has changed");
        bench.due_job("report").await;
        let change = waiting.await.unwrap();
        assert_eq!(change.hint, Some(Hint::Resync));

        server.restart();
        // The server has forgotten its tokens.
        assert_eq!(bench.b().claim_one("report").await.job.id, "report");
        let mut waiting = Box::pin(a.changed(change.seen));
        assert!(futures_lite::future::poll_once(&mut waiting).await.is_none(), "nothing has changed");
        bench.due_job("another").await;
        assert_eq!(waiting.await.unwrap().hint, Some(Hint::Resync));
    });
}
