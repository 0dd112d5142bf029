//! Transactions of the application's, in which calls of a scheduler can take part.

use std::any::Any;

/// A transaction of the application's own, in which jobs can be added, run and removed together with what the application writes.
///
/// It is implemented for
///
/// | type | for jobs in |
/// |---|---|
/// | `sqlx::Transaction` of `Sqlite`, `Postgres` and `MySql`, and the connection of each while a transaction is open on it | `SqliteStore`, `PostgresStore`, `MySqlStore` |
/// | `mongodb::ClientSession`, while a transaction is open on it | `MongoDbStore` on a replica set |
///
/// The types are those of sqlx 0.9 and of mongodb 3, which the module `clients` here hands on; an application that has these
/// versions among its own dependencies, with whichever features, has the same types. The database of the transaction has to be
/// the one in which the store has its tables, through whichever pool or client.
///
/// ```
/// use scheduler_stores::Transaction;
///
/// // What takes any of them hands it on.
/// fn any<T: Transaction>(transaction: &mut T) -> &mut (dyn std::any::Any + Send) {
///     transaction.connection()
/// }
/// # let _ = any::<Mine>;
/// # struct Mine;
/// # impl Transaction for Mine {
/// #     fn connection(&mut self) -> &mut (dyn std::any::Any + Send) {
/// #         self
/// #     }
/// # }
/// ```
///
/// A store of your own takes part in the transactions of its database if its [`Backend`](crate::kit::Backend) can
/// [begin in them](crate::kit::Backend::begin_in); this is then implemented for their type.
pub trait Transaction: Send {
    /// The connection or session in which the transaction is, as the store's [`perform_in`](scheduler_core::JobStore::perform_in)
    /// knows it.
    fn connection(&mut self) -> &mut (dyn Any + Send);
}

/// Implements it for the transactions of a database of sqlx and for its connections.
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
macro_rules! sqlx_transactions {
    ($($feature:literal: $database:ident, $connection:ident;)*) => {$(
        #[cfg(feature = $feature)]
        impl Transaction for sqlx::Transaction<'_, sqlx::$database> {
            fn connection(&mut self) -> &mut (dyn Any + Send) {
                &mut **self
            }
        }

        #[cfg(feature = $feature)]
        impl Transaction for sqlx::$connection {
            fn connection(&mut self) -> &mut (dyn Any + Send) {
                self
            }
        }
    )*};
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
sqlx_transactions! {
    "sqlite": Sqlite, SqliteConnection;
    "postgres": Postgres, PgConnection;
    "mysql": MySql, MySqlConnection;
}

#[cfg(feature = "mongodb")]
impl Transaction for ::mongodb::ClientSession {
    fn connection(&mut self) -> &mut (dyn Any + Send) {
        self
    }
}
