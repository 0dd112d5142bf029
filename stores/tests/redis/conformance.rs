//! The promises of the port, by the server's clock and by the callers'.

use crate::test_store::{TestStore, wait};

scheduler_testkit::store_conformance!(async { TestStore::new().setup().await.advance(wait) });

mod on_callers_clock {
    use scheduler_testkit::store::StoreUnderTest;

    use crate::test_store::TestStore;

    async fn setup() -> StoreUnderTest {
        let test_store = TestStore::new();
        let (a, b) = (test_store.open_on_callers_clock().await, test_store.open_on_callers_clock().await);
        let reopened = test_store.clone();
        test_store.with(a, b).reopen(move || {
            let test_store = reopened.clone();
            async move { test_store.open_on_callers_clock().await }
        })
    }

    scheduler_testkit::store_conformance!(setup());
}
