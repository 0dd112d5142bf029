//! What the port promises, by the server's clock.

use crate::tables::Tables;

scheduler_testkit::store_conformance!(Tables::new().setup());
