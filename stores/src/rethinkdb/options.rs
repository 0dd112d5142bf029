//! How a store finds its servers.

use std::time::Duration;

use scheduler_core::store::{Clock, StoreError, StoreErrorKind};
use unreql::cmd::connect;

use super::RethinkDbStore;
use crate::kit::columns::READ_LIMIT;

/// Options of a [`RethinkDbStore`].
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::RethinkDbOptions;
///
/// let store = RethinkDbOptions::new().table_prefix("billing_")?.connect("rethinkdb://localhost/app").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RethinkDbOptions {
    pub(super) prefix: String,
    pub(super) clock: Clock,
    pub(super) payload: usize,
    pub(super) timeout: Duration,
}

impl Default for RethinkDbOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl RethinkDbOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            prefix: "scheduler_".to_owned(),
            clock: Clock::Server,
            payload: 1 << 20,
            timeout: Duration::from_secs(10),
        }
    }

    /// What the names of the tables begin with, so that several schedulers can live in one database. Defaults to
    /// `scheduler_`.
    ///
    /// # Errors
    ///
    /// The prefix is not made of at most 32 ASCII letters, digits, underscores and hyphens.
    pub fn table_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        if !is_name(prefix) || prefix.len() > 32 {
            let message =
                format!("table prefix {prefix:?}: take at most 32 ASCII letters, digits, underscores and hyphens");
            return Err(StoreError::new(StoreErrorKind::Rejected, message));
        }
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    /// Whose clock decides what is due and which leases hold. Defaults to [`Clock::Server`], the clock of the server
    /// that is connected to; [`Clock::Caller`] is for tests on a virtual time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The largest body in bytes of JSON. Defaults to 1 MiB, since a body is read at each firing; at most 16 MiB, for a larger
    /// one is not read.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes.min(READ_LIMIT);
        self
    }

    /// How long a server may take to let a connection in, and to answer one query. Defaults to 10 seconds. A call of
    /// the store makes a few of them.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connects to the first server that answers, as in `rethinkdb://user:password@one,two:28016/app`.
    ///
    /// User and password default to `admin` without one, the port to 28015, the database to `apscheduler`, which is
    /// created if it is not there. What a URL cannot carry is written in percent signs, as in `p%40ss`.
    ///
    /// # Errors
    ///
    /// The URL is not valid, no server can be reached, the password is wrong, or the tables are of a newer version.
    pub async fn connect(self, url: &str) -> Result<RethinkDbStore, StoreError> {
        let servers = servers(url)?;
        RethinkDbStore::open(self, servers).await
    }

    /// Connects with options of the driver, for an application that has them.
    ///
    /// A session of the driver itself cannot be taken: it does not come back when its connection is lost, and is
    /// unusable once one of its queries is dropped halfway.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, options: connect::Options) -> Result<RethinkDbStore, StoreError> {
        RethinkDbStore::open(self, vec![options]).await
    }
}

/// Where to connect to, by the URL.
fn servers(url: &str) -> Result<Vec<connect::Options>, StoreError> {
    let refuse = |reason: &str| {
        let form = "rethinkdb://[user[:password]@]host[:port][,host[:port]...][/database]";
        // The URL may have a password, so it is not shown.
        StoreError::new(StoreErrorKind::Incompatible, format!("rethinkdb url: {reason}; write {form}"))
    };
    let rest = url.strip_prefix("rethinkdb://").ok_or_else(|| refuse("it does not begin with `rethinkdb://`"))?;
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let database = if database.is_empty() { "apscheduler" } else { database };
    if !is_name(database) {
        return Err(refuse("the database is not made of ASCII letters, digits, underscores and hyphens"));
    }
    let (login, hosts) = authority.rsplit_once('@').map_or((None, authority), |(login, hosts)| (Some(login), hosts));
    let mut options = connect::Options::new().db(database.to_owned());
    if let Some(login) = login {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let decoded = |text| decoded(text).ok_or_else(|| refuse("user or password has a stray percent sign"));
        options = options.user(decoded(user)?).password(decoded(password)?);
    }
    let server = |host: &str| {
        let (name, port) = host_and_port(host).ok_or_else(|| refuse("a host is empty or its port is no number"))?;
        Ok(options.clone().host(name.to_owned()).port(port))
    };
    hosts.split(',').map(server).collect()
}

/// The parts of `host`, `host:port` or `[address]:port`.
fn host_and_port(host: &str) -> Option<(&str, u16)> {
    const PORT: u16 = 28015;
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let port = match port {
        "" => PORT,
        port => port.strip_prefix(':')?.parse().ok()?,
    };
    (!name.is_empty()).then_some((name, port))
}

/// A text without its percent signs.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let (code, tail) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

/// What RethinkDB takes as the name of a database or a table.
fn is_name(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use unreql::cmd::connect;

    use super::servers;

    fn options(host: &str, port: u16) -> connect::Options {
        connect::Options::new().host(host.to_owned()).port(port).db("apscheduler")
    }

    #[test]
    fn a_url_names_one_server_or_several() {
        assert_eq!(servers("rethinkdb://db").unwrap(), [options("db", 28015)]);
        assert_eq!(servers("rethinkdb://db/").unwrap(), [options("db", 28015)]);
        assert_eq!(servers("rethinkdb://[::1]:7/jobs").unwrap(), [options("::1", 7).db("jobs")]);
        let both = [options("one", 1), options("two", 28015)].map(|it| it.db("app").user("u").password("p@:s"));
        assert_eq!(servers("rethinkdb://u:p%40:s@one:1,two/app").unwrap(), both);
    }

    #[test]
    fn a_bad_url_is_refused_without_showing_its_password() {
        for url in [
            "postgres://u:secret@db",
            "rethinkdb://u:secret@",
            "rethinkdb://u:secret@db,",
            "rethinkdb://u:secret@db:x",
            "rethinkdb://u:secret@db:70000",
            "rethinkdb://u:secret@[::1",
            "rethinkdb://u:secret@[::1]7",
            "rethinkdb://u:secret%4@db",
            "rethinkdb://u:secret%zz@db",
            "rethinkdb://u:secret@db/a/b",
            "rethinkdb://u:secret@db/a?b=c",
        ] {
            let message = servers(url).unwrap_err().to_string();
            assert!(message.contains("rethinkdb://[user") && !message.contains("secret"), "{url}: {message}");
        }
    }
}
