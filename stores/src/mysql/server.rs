//! What kind of server it is.

use scheduler_core::store::{StoreError, StoreErrorKind};
use sqlx::{MySqlConnection, Row};

use crate::sql::Failures;

/// What is to be known of a server.
pub(super) struct Server {
    /// The most bytes that it takes at once.
    pub(super) packet: usize,
}

/// Refuses servers that lack what the statements need.
pub(super) async fn check(connection: &mut MySqlConnection, failures: &Failures) -> Result<Server, StoreError> {
    let row = sqlx::query("SELECT VERSION(), CAST(@@max_allowed_packet AS SIGNED)").fetch_one(connection).await;
    let read = row.and_then(|row| Ok((row.try_get::<String, _>(0)?, row.try_get::<i64, _>(1)?)));
    let (version, packet) = read.map_err(|error| failures.of(error))?;
    if !is_new_enough(&version) {
        let why = format!("its version is {version}; take MariaDB 10.6 or MySQL 8.0, or newer");
        return Err(failures.because(StoreErrorKind::Incompatible, &why));
    }
    Ok(Server { packet: usize::try_from(packet).unwrap_or_default() })
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map_while(|it| it.parse::<u32>().ok());
    let version_of = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    version_of >= if version.contains("MariaDB") { (10, 6) } else { (8, 0) }
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn old_servers_are_known_by_their_version() {
        for new in
            ["10.6.0-MariaDB", "10.11.19-MariaDB-0+deb12u1", "11.4.2-MariaDB-log", "8.0.36", "8.4.0-log", "9.1.0"]
        {
            assert!(is_new_enough(new), "{new}");
        }
        for old in ["10.5.23-MariaDB", "10.0.38-MariaDB", "5.7.44-log", "5.5.68-MariaDB", ""] {
            assert!(!is_new_enough(old), "{old}");
        }
    }
}
