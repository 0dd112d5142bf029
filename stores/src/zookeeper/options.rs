//! How a store finds its servers and its nodes.

use std::time::Duration;

use scheduler_core::store::{StoreError, StoreErrorKind};
use zookeeper_client::{Client, Connector};

use super::{ZooKeeperStore, failure::Failures, names::decode, session::Source};
use crate::ZooKeeperAccess;

/// Options of a [`ZooKeeperStore`].
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::ZooKeeperOptions;
///
/// let store = ZooKeeperOptions::new().root("/billing/jobs")?.connect("zookeeper://zk1:2181,zk2:2181").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ZooKeeperOptions {
    pub(super) root: String,
    pub(super) payload: usize,
    pub(super) timeout: Duration,
    pub(super) access: Option<ZooKeeperAccess>,
}

impl Default for ZooKeeperOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl ZooKeeperOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { root: "/scheduler".to_owned(), payload: 256 << 10, timeout: Duration::from_secs(5), access: None }
    }

    /// The node below which all others are, so that several schedulers can share the servers; it is created if it is not
    /// there. Below the path of the URL, if that has one. Defaults to `/scheduler`.
    ///
    /// # Errors
    ///
    /// The path is not absolute, has an empty part, `.`, `..`, a control character or a slash at its end, or is below
    /// `/zookeeper`, which belongs to the servers.
    pub fn root(mut self, path: &str) -> Result<Self, StoreError> {
        check_path(path).map_err(|what| rejected(format!("root {path:?}: {what}")))?;
        self.root = path.to_owned();
        Ok(self)
    }

    /// The largest body in bytes of JSON. Defaults to 256 KiB, at most 400 KiB: servers take packets of up to a mebibyte,
    /// and the text of the body and its open runs have to fit.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes.min(400 << 10);
        self
    }

    /// How long a call waits for a session, and then for the answer, before it fails as unavailable. Defaults to five
    /// seconds, a third of a lease.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Who may read and write what the store creates. Defaults to [`ZooKeeperAccess::Creator`] if the URL has a user, else to
    /// [`ZooKeeperAccess::Everyone`].
    pub fn access(mut self, access: ZooKeeperAccess) -> Self {
        self.access = Some(access);
        self
    }

    /// Connects to servers, as in `zookeeper://zk1:2181,zk2:2181`, `zookeeper://user:password@zk1/billing`. What is not a
    /// letter or a digit in the user or the password is percent-encoded. The port is 2181 if none is given.
    ///
    /// # Errors
    ///
    /// The URL is not valid, no server can be reached, or the nodes are of a newer version.
    pub async fn connect(mut self, url: &str) -> Result<ZooKeeperStore, StoreError> {
        let target = Target::parse(url)?;
        let mut connector = Client::connector().with_session_timeout(SESSION).with_fail_eagerly();
        if let Some((user, password)) = &target.user {
            connector = connector.with_auth("digest", format!("{user}:{password}").as_bytes());
            self.access.get_or_insert(ZooKeeperAccess::Creator);
        }
        self.root.insert_str(0, &target.path);
        let failures = Failures::new(&target.servers, &self.root);
        let source = Source::Connector { connector: Box::new(connector), cluster: target.servers };
        ZooKeeperStore::new(self, source, failures).await
    }

    /// Connects with a connector of the application's, which can bring encryption, SASL or other credentials. `cluster`
    /// is as in [`Connector::connect`].
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn connect_with(self, connector: Connector, cluster: &str) -> Result<ZooKeeperStore, StoreError> {
        let failures = Failures::new(cluster, &self.root);
        let source = Source::Connector { connector: Box::new(connector), cluster: cluster.to_owned() };
        ZooKeeperStore::new(self, source, failures).await
    }

    /// Uses a client of the application's.
    ///
    /// Its connection lives in the runtime in which the application has made it. When its session is over, as after an
    /// outage of several seconds, all calls fail from then on, since the store can make no other:
    /// [`connect_with`](Self::connect_with) is the better choice for a process that lives long.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_client(self, client: Client) -> Result<ZooKeeperStore, StoreError> {
        let path = client.path().trim_end_matches('/').to_owned();
        let failures = Failures::new(&path, &self.root);
        ZooKeeperStore::new(self, Source::Given(client), failures).await
    }
}

/// Nothing of a store's depends on the session, so that it can be long: the client then sends a sign of life each 1.5 s.
const SESSION: Duration = Duration::from_secs(10);

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    user: Option<(String, String)>,
    servers: String,
    /// Empty, or an absolute path.
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, StoreError> {
        const FORM: &str = "write it like `zookeeper://user:password@host:2181,host2:2181/path`";
        let bad = |what: &str| rejected(format!("the URL of a ZooKeeper store is not valid: {what}; {FORM}"));
        let rest = url.strip_prefix("zookeeper://").ok_or_else(|| bad("it does not begin with `zookeeper://`"))?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, servers) = match authority.rsplit_once('@') {
            Some((user, servers)) => (Some(user), servers),
            None => (None, authority),
        };
        let user = user.map(|user| {
            let (user, password) = user.split_once(':')?;
            Some((decode(user)?, decode(password)?))
        });
        let user = match user {
            Some(None) => return Err(bad("the user has no password, or a `%` without two hexadecimal digits")),
            user => user.flatten(),
        };
        for server in servers.split(',') {
            check_server(server).map_err(|what| bad(&format!("server `{server}`: {what}")))?;
        }
        let path = path.trim_end_matches('/');
        if !path.is_empty() {
            check_path(path).map_err(|what| bad(&format!("path `{path}`: {what}")))?;
        }
        Ok(Self { user, servers: servers.to_owned(), path: path.to_owned() })
    }
}

fn check_server(server: &str) -> Result<(), &'static str> {
    let (host, port) = match server.rfind(']') {
        Some(end) => server.split_at(end + 1),
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]%".contains(&b)) {
        return Err("it has no host name, or one with characters that none has");
    }
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    if port.is_empty() || port.strip_prefix(':').is_some_and(is_port) {
        return Ok(());
    }
    Err("what follows the host is no port")
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let Some(parts) = path.strip_prefix('/') else { return Err("it does not begin with `/`") };
    if parts.split('/').any(|part| ["", ".", ".."].contains(&part)) {
        return Err("it has an empty part, `.` or `..`");
    }
    // As the servers have it.
    let is_bad = |c: char| c.is_control() || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}');
    if parts.contains(is_bad) {
        return Err("it has a character that the name of a node must not have");
    }
    if parts == "zookeeper" || parts.starts_with("zookeeper/") {
        return Err("it belongs to the servers");
    }
    Ok(())
}

fn rejected(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Rejected, message)
}

#[cfg(test)]
mod tests {
    use scheduler_core::store::StoreErrorKind;

    use super::{Target, ZooKeeperOptions};

    #[test]
    fn a_url_names_servers_user_and_path() {
        let target = |user: Option<(&str, &str)>, servers: &str, path: &str| Target {
            user: user.map(|(user, password)| (user.to_owned(), password.to_owned())),
            servers: servers.to_owned(),
            path: path.to_owned(),
        };
        let cases = [
            ("zookeeper://zk1", target(None, "zk1", "")),
            ("zookeeper://zk1:2181,zk2:2182/", target(None, "zk1:2181,zk2:2182", "")),
            ("zookeeper://[::1]:2181/a/b/", target(None, "[::1]:2181", "/a/b")),
            ("zookeeper://me:p%40s%3As@zk1/jobs", target(Some(("me", "p@s:s")), "zk1", "/jobs")),
        ];
        for (url, wanted) in cases {
            assert_eq!(Target::parse(url), Ok(wanted), "{url}");
        }
    }

    #[test]
    fn a_bad_url_is_refused_without_its_password() {
        let cases = [
            ("redis://zk1", "begin with"),
            ("zookeeper://", "host name"),
            ("zookeeper://zk1,,zk2", "host name"),
            ("zookeeper://zk1:port", "no port"),
            ("zookeeper://zk1:0", "no port"),
            ("zookeeper://me:secret@zk1:99999", "no port"),
            ("zookeeper://me@zk1", "no password"),
            ("zookeeper://me:%zsecret@zk1", "two hexadecimal digits"),
            ("zookeeper://zk1/a//b", "empty part"),
            ("zookeeper://zk1/zookeeper/x", "belongs to the servers"),
        ];
        for (url, what) in cases {
            let error = Target::parse(url).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Rejected, "{url}");
            let message = error.to_string();
            assert!(message.contains(what) && message.contains("write it like"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn a_root_that_cannot_be_is_refused() {
        for root in ["", "/", "jobs", "/a/", "/a//b", "/.", "/a/..", "/a\0", "/a\n", "/zookeeper", "/\u{e000}"] {
            let error = ZooKeeperOptions::new().root(root).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Rejected, "{root:?}");
        }
        for root in ["/jobs", "/a/b.c", "/zookeepers", "/ü"] {
            assert_eq!(ZooKeeperOptions::new().root(root).unwrap().root, root);
        }
    }
}
