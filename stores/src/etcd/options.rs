//! How a store finds its servers.

use std::{fmt, time::Duration};

use scheduler_core::store::{StoreError, StoreErrorKind};
use tonic::transport::{Channel, Endpoint};

use super::{EtcdStore, client::Client, failure::Failures, key::unescaped};
use crate::{kit::columns::READ_LIMIT, private_tokio::PrivateTokio};

/// Options of an [`EtcdStore`].
///
/// ```no_run
/// # async fn example() -> Result<(), scheduler_core::store::StoreError> {
/// use scheduler_stores::EtcdOptions;
///
/// let store = EtcdOptions::new().key_prefix("billing/")?.connect("etcd://one:2379,two:2379,three:2379").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct EtcdOptions {
    pub(super) prefix: String,
    pub(super) payload: usize,
    pub(super) timeout: Duration,
    pub(super) login: Option<Login>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl EtcdOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self { prefix: "scheduler_".to_owned(), payload: 512 << 10, timeout: Duration::from_secs(5), login: None }
    }

    /// What the keys begin with, so that several schedulers can live in one cluster. Defaults to `scheduler_`. A path in
    /// the URL goes before it.
    ///
    /// # Errors
    ///
    /// The prefix is not made of at most 128 ASCII letters, digits, underscores, hyphens, points and slashes.
    pub fn key_prefix(mut self, prefix: &str) -> Result<Self, StoreError> {
        if prefix.len() > 128 || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b)) {
            let message = format!(
                "key prefix {prefix:?}: take at most 128 ASCII letters, digits, underscores, hyphens, points and slashes"
            );
            return Err(StoreError::new(StoreErrorKind::Rejected, message));
        }
        self.prefix = prefix.to_owned();
        Ok(self)
    }

    /// The largest body in bytes of JSON. Defaults to 512 KiB: a request to etcd has at most 1.5 MiB, in which the body
    /// is quoted, which can double it, and its open runs have to fit, too. More needs a larger `--max-request-bytes` of
    /// the servers.
    pub fn payload_limit(mut self, bytes: usize) -> Self {
        self.payload = bytes.min(READ_LIMIT);
        self
    }

    /// How long a server may take to answer one request; half of it for being connected to. Defaults to 5 seconds. A
    /// call of the store makes a few of them, one after the other, and ends at the first that fails.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The user and the password, if the servers ask for one. Those in a URL go before them. Defaults to none.
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some(Login { user: user.into(), password: password.into() });
        self
    }

    /// Connects to a cluster, as in `etcd://user:password@one:2379,two:2379/billing_`.
    ///
    /// User, password, ports (2379) and the path, which is the [`key_prefix`](Self::key_prefix), can be left out. The scheme
    /// is `etcd` or `http`, or `https` for an encrypted connection, which needs the feature `tls` and takes the root
    /// certificates of the system. What a URL cannot carry is written in percent signs, as in `p%40ss`.
    ///
    /// One server is asked until it fails, then the next one.
    ///
    /// # Errors
    ///
    /// The URL is not valid, no server answers, user or password are wrong, or the keys are of a newer version.
    pub async fn connect(mut self, url: &str) -> Result<EtcdStore, StoreError> {
        let address = Address::parse(url)?;
        if let Some(prefix) = &address.prefix {
            self = self.key_prefix(prefix)?;
        }
        self.login = address.login.clone().or(self.login);
        let endpoints = address.endpoints(self.timeout)?;
        let failures = Failures::new(&address.servers.join(","), &self.prefix);
        let runtime = PrivateTokio::start()?;
        // A channel starts a task, so it has to be made there.
        let channels = async move { endpoints.iter().map(Endpoint::connect_lazy).collect() };
        let channels: Vec<Channel> = runtime.run(channels).await;
        let client = Client::new(runtime, channels, self.login.clone(), self.timeout, failures);
        EtcdStore::open(self, client).await
    }

    /// Uses a channel of the application, with its addresses, certificates and signs of life. HTTP/2 keep-alive should be
    /// on, since otherwise a server that vanishes without a word makes the store deaf to changes.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub async fn from_channel(self, channel: Channel) -> Result<EtcdStore, StoreError> {
        let failures = Failures::new("the application's channel", &self.prefix);
        let client = Client::new(PrivateTokio::start()?, vec![channel], self.login.clone(), self.timeout, failures);
        EtcdStore::open(self, client).await
    }
}

/// What a URL says.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    is_encrypted: bool,
    login: Option<Login>,
    /// With ports.
    servers: Vec<String>,
    prefix: Option<String>,
}

impl Address {
    fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| refused("it has no scheme"))?;
        let is_encrypted = match scheme {
            "etcd" | "http" => false,
            "https" => true,
            _ => return Err(refused("its scheme is not `etcd`, `http` or `https`")),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, servers) =
            authority.rsplit_once('@').map_or((None, authority), |(login, servers)| (Some(login), servers));
        let servers: Option<Vec<String>> = servers.split(',').map(server).collect();
        Ok(Self {
            is_encrypted,
            login: login.map(parse_login).transpose()?,
            servers: servers.ok_or_else(|| refused("a host or port is not one"))?,
            prefix: (!path.is_empty()).then(|| path.to_owned()),
        })
    }

    fn endpoints(&self, timeout: Duration) -> Result<Vec<Endpoint>, StoreError> {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        let endpoints = self.servers.iter().map(|server| {
            let endpoint = Endpoint::from_shared(format!("{scheme}://{server}"));
            let endpoint =
                endpoint.map_err(|error| refused(&format!("`{server}` is no address")).with_source(error))?;
            let endpoint = endpoint
                .connect_timeout(timeout / 2)
                // Not more often than every five seconds, and only while something is asked; else etcd takes offence.
                .http2_keep_alive_interval(Duration::from_secs(10))
                .keep_alive_timeout(timeout);
            if self.is_encrypted { encrypted(endpoint) } else { Ok(endpoint) }
        });
        endpoints.collect()
    }
}

#[cfg(feature = "tls")]
fn encrypted(endpoint: Endpoint) -> Result<Endpoint, StoreError> {
    let tls = tonic::transport::ClientTlsConfig::new().with_native_roots();
    endpoint.tls_config(tls).map_err(|error| refused("its encryption cannot be set up").with_source(error))
}

#[cfg(not(feature = "tls"))]
fn encrypted(_: Endpoint) -> Result<Endpoint, StoreError> {
    Err(refused("`https` needs the feature `tls` of this crate"))
}

fn parse_login(login: &str) -> Result<Login, StoreError> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let broken = || refused("user or password have a percent sign that is none; write it as `%25`");
    Ok(Login { user: unescaped(user).ok_or_else(broken)?, password: unescaped(password).ok_or_else(broken)? })
}

/// A host with its port; none if it is not one.
fn server(text: &str) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        // The colons within brackets are those of an address.
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, "2379"),
    };
    let port: u16 = port.parse().ok()?;
    let is_host = match host.strip_prefix('[') {
        Some(address) => address.strip_suffix(']').is_some_and(|it| it.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)),
    };
    is_host.then(|| format!("{host}:{port}"))
}

/// The URL may have a password, so it is not shown.
fn refused(reason: &str) -> StoreError {
    let form = "etcd://[user[:password]@]host[:port][,host[:port]...][/prefix]";
    StoreError::new(StoreErrorKind::Incompatible, format!("etcd url: {reason}; write {form}"))
}

#[cfg(test)]
mod tests {
    use super::{Address, EtcdOptions, Login};

    fn login(user: &str, password: &str) -> Option<Login> {
        Some(Login { user: user.to_owned(), password: password.to_owned() })
    }

    #[test]
    fn a_url_names_servers_login_and_prefix() {
        let address = |url: &str| Address::parse(url).unwrap();
        let plain = address("etcd://localhost");
        assert_eq!((plain.is_encrypted, plain.login, plain.prefix), (false, None, None));
        assert_eq!(plain.servers, ["localhost:2379"]);
        let full = address("https://ann:p%40:s%2Fs@one:1,two-2.example,[::1],[fe80::1]:4/teams/billing_");
        assert!(full.is_encrypted);
        assert_eq!(full.login, login("ann", "p@:s/s"));
        assert_eq!(full.servers, ["one:1", "two-2.example:2379", "[::1]:2379", "[fe80::1]:4"]);
        assert_eq!(full.prefix.as_deref(), Some("teams/billing_"));
        assert_eq!(address("http://one//apscheduler/").prefix.as_deref(), Some("/apscheduler/"));
        assert_eq!(address("etcd://ann@one").login, login("ann", ""));
    }

    #[test]
    fn a_url_that_is_none_says_why_and_shows_no_password() {
        let broken = [
            ("localhost:2379", "has no scheme"),
            ("redis://localhost", "scheme is not"),
            ("etcd://", "host or port"),
            ("etcd://ann:secret@", "host or port"),
            ("etcd://one,", "host or port"),
            ("etcd://ann:secret@one:port", "host or port"),
            ("etcd://one:70000", "host or port"),
            ("etcd://one two", "host or port"),
            ("etcd://[one]", "host or port"),
            ("etcd://ann:secret%@one", "percent sign"),
        ];
        for (url, reason) in broken {
            let message = Address::parse(url).unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains("etcd://["), "{url}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn options_show_no_password() {
        let text = format!("{:?}", EtcdOptions::new().login("ann", "secret"));
        assert!(text.contains("ann") && !text.contains("secret"), "{text}");
    }

    #[test]
    fn a_prefix_is_made_of_plain_characters() {
        for prefix in ["", "scheduler_", "/teams/a.b-c/", &"x".repeat(128)] {
            EtcdOptions::new().key_prefix(prefix).unwrap();
        }
        for prefix in ["a:", "a b", "ä", "a\0", "%41", &"x".repeat(129)] {
            assert!(EtcdOptions::new().key_prefix(prefix).unwrap_err().to_string().contains("prefix"), "{prefix}");
        }
    }
}
