//! The store holds what the port promises, by the server's clock and by its callers'.

mod by_the_servers_clock {
    use scheduler_core::store::Clock;

    use crate::sql_servers::database::Database;

    scheduler_testkit::store_conformance!(Database::new(Clock::Server).setup());
}

mod by_the_callers_clock {
    use scheduler_core::store::Clock;

    use crate::sql_servers::database::Database;

    scheduler_testkit::store_conformance!(Database::new(Clock::Caller).setup());
}
