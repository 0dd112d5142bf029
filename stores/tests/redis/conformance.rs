//! The promises of the port, by the server's clock and by the callers'.

use crate::place::{Place, wait};

scheduler_testkit::store_conformance!(async { Place::new().setup().await.advance(wait) });

mod on_callers_clock {
    use scheduler_testkit::store::StoreUnderTest;

    use crate::place::Place;

    async fn setup() -> StoreUnderTest {
        let place = Place::new();
        let (a, b) = (place.open_on_callers_clock().await, place.open_on_callers_clock().await);
        let reopened = place.clone();
        place.with(a, b).reopen(move || {
            let place = reopened.clone();
            async move { place.open_on_callers_clock().await }
        })
    }

    scheduler_testkit::store_conformance!(setup());
}
