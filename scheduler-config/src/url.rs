//! URLs that say which store is meant, and that never show their passwords.

use std::{borrow::Cow, fmt, str::FromStr};

use scheduler_core::store::{StoreError, StoreErrorKind};
use scheduler_stores::{KnownStore, STORES, StorePlace};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// The URL of a store, as in `sqlite://jobs.db` or `postgres://app:secret@db.example.com/app`.
///
/// | scheme | store | what follows |
/// |---|---|---|
/// | `memory:` | memory | nothing |
/// | `sqlite:` | SQLite | `//` and a path: `sqlite://jobs.db`, `sqlite:///var/lib/app/jobs.db` |
/// | `postgres:`, `postgresql:` | PostgreSQL | `//user:password@host:5432/database` |
/// | `mysql:`, `mariadb:` | MySQL, MariaDB | `//user:password@host:3306/database` |
/// | `redis:`, `rediss:`, `valkey:`, `valkeys:`, `redis+unix:`, `valkey+unix:` | Redis, Valkey | `//user:password@host:6379/0` |
/// | `mongodb:`, `mongodb+srv:` | MongoDB | `//user:password@host1,host2/database?replicaSet=rs0` |
/// | `zookeeper:` | ZooKeeper | `//user:password@host1:2181,host2:2181/path` |
/// | `etcd:`, `etcd+https:` | etcd | `//user:password@host1:2379,host2:2379/prefix` |
/// | `rethinkdb:` | RethinkDB | `//user:password@host1,host2:28015/database` |
///
/// `Debug` and `Display` leave the password out; [`as_str`](Self::as_str) and serde do not.
///
/// ```
/// use scheduler_config::StoreUrl;
///
/// let url: StoreUrl = "postgres://app:secret@db.example.com/app".parse()?;
/// assert_eq!(url.to_string(), "postgres://app:***@db.example.com/app");
///
/// let wrong = "oracle://db/app".parse::<StoreUrl>().unwrap_err();
/// assert!(wrong.to_string().starts_with("store url `oracle://db/app`: no store has the scheme `oracle`; take one of memory, "));
/// # Ok::<(), scheduler_core::store::StoreError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    text: String,
    store: &'static KnownStore,
}

impl StoreUrl {
    /// The URL as it was given, with its password.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The store that the scheme names.
    pub(crate) fn store(&self) -> &'static KnownStore {
        self.store
    }
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let refuse = |why: String| {
            let message = format!("store url `{}`: {why}", shown_url(text));
            Err(StoreError::new(StoreErrorKind::Incompatible, message))
        };
        let Some((scheme, rest)) = text.split_once(':') else {
            return refuse("it has no scheme; write it as in `sqlite://jobs.db`".to_owned());
        };
        let Some(store) = STORES.iter().find(|store| store.schemes.contains(&scheme)) else {
            let schemes: Vec<&str> = STORES.iter().flat_map(|store| store.schemes).copied().collect();
            return match scheme.split_once('+').filter(|(scheme, _)| schemes.contains(scheme)) {
                Some((scheme, driver)) => refuse(format!(
                    "leave the driver `{driver}` out and write `{scheme}:{}`",
                    &shown_url(text)[scheme.len() + driver.len() + 2..]
                )),
                None => refuse(format!("no store has the scheme `{scheme}`; take one of {}", schemes.join(", "))),
            };
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let is_here = store.place == StorePlace::Process;
        match rest.is_empty() {
            false if is_here => refuse(format!("nothing follows `{scheme}:`")),
            true if !is_here => refuse("it ends after its scheme; say where the store is".to_owned()),
            _ => Ok(Self { text: text.to_owned(), store }),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_url(&self.text))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&shown_url(&self.text), f)
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for StoreUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A text in which the passwords of all URLs are stars.
pub(crate) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + 3);
        let (url, after) = url.split_at(url.find([' ', '\n', '"', '\'', '`']).unwrap_or(url.len()));
        shown.push_str(before);
        hide(before, url, &mut shown);
        rest = after;
    }
    shown + rest
}

/// A text that is nothing but a URL, with stars in place of its password, whichever signs are in that.
fn shown_url(text: &str) -> String {
    let (before, url) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    let mut shown = before.to_owned();
    hide(before, url, &mut shown);
    shown
}

/// Writes what follows `://` in a URL, without its secrets; `before` ends in the scheme.
fn hide(before: &str, url: &str, shown: &mut String) {
    let mut from = 0;
    for secret in secrets(before, url) {
        shown.push_str(&url[from..secret.start]);
        shown.push_str("***");
        from = secret.end;
    }
    shown.push_str(&url[from..]);
}

/// Where the secrets are in what follows `://` in a URL: the password, and parameters that sound like one. A login of one word
/// is a name, but with Redis, where hosting services hand out a token to be written there.
pub(crate) fn secrets(before: &str, url: &str) -> Vec<std::ops::Range<usize>> {
    let mut secrets = Vec::new();
    let query = url.find('?').unwrap_or(url.len());
    // A password with a question mark that should have been written as `%3F` is one all the same.
    let login = url[..query].rfind('@').or_else(|| url.rfind('@'));
    if let Some(at) = login {
        match url[..at].find(':') {
            Some(colon) => secrets.push(colon + 1..at),
            None if is_of_redis(before) => secrets.push(0..at),
            None => {}
        }
    }
    let mut from = query.max(login.unwrap_or(0));
    while from < url.len() {
        from += 1;
        let end = url[from..].find('&').map_or(url.len(), |length| from + length);
        if let Some((name, _)) = url[from..end].split_once('=')
            && sounds_secret(&name.to_lowercase())
        {
            secrets.push(from + name.len() + 1..end);
        }
        from = end;
    }
    secrets
}

/// Whether a text ends in a scheme of Redis.
fn is_of_redis(before: &str) -> bool {
    let before = before.trim_end_matches("://").to_lowercase();
    let scheme = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '+').next().unwrap_or_default();
    scheme.starts_with("redis") || scheme.starts_with("valkey")
}

/// Whether the value of a parameter with this name, in small letters, is not for everybody.
fn sounds_secret(name: &str) -> bool {
    // The properties of MongoDB's ways to log in can have the token of a session.
    const PARTS: [&str; 9] =
        ["pass", "pwd", "secret", "token", "apikey", "api_key", "access_key", "credential", "authmechanismproperties"];
    PARTS.iter().any(|part| name.contains(part)) || ["auth", "key", "sig", "signature", "jwt"].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::{StoreUrl, shown};

    #[test]
    fn no_password_is_shown() {
        let cases = [
            ("postgres://app:se:cr@et@db:5432/app?sslmode=require", "postgres://app:***@db:5432/app?sslmode=require"),
            (
                "postgres://app@db/app?password=secret&sslmode=require",
                "postgres://app@db/app?password=***&sslmode=require",
            ),
            ("redis://:secret@db", "redis://:***@db"),
            ("redis://:sec?ret@db/0", "redis://:***@db/0"),
            ("redis://sometoken@db:6380/0", "redis://***@db:6380/0"),
            ("url = rediss://sometoken@db and", "url = rediss://***@db and"),
            ("valkeys://sometoken@db?auth=sometoken", "valkeys://***@db?auth=***"),
            ("redis://db/0?Auth=sometoken&db=1", "redis://db/0?Auth=***&db=1"),
            ("postgres://app@db/app?auth_token=x&sslkey=/etc/k", "postgres://app@db/app?auth_token=***&sslkey=/etc/k"),
            (
                "mongodb://db/?authSource=admin&authMechanismProperties=AWS_SESSION_TOKEN:abc",
                "mongodb://db/?authSource=admin&authMechanismProperties=***",
            ),
            ("mongodb://a:b@one,two/?authToken=x", "mongodb://a:***@one,two/?authToken=***"),
            ("redis+unix:///run/redis.sock?pass=secret", "redis+unix:///run/redis.sock?pass=***"),
            ("sqlite://a@b.db", "sqlite://a@b.db"),
            ("etcd://[::1]:2379/x", "etcd://[::1]:2379/x"),
            (
                r#"invalid type: string "mysql://a:b@c/d", expected `mysql://e:f@g`"#,
                r#"invalid type: string "mysql://a:***@c/d", expected `mysql://e:***@g`"#,
            ),
            ("no url", "no url"),
            ("://", "://"),
            ("a://ü?ü", "a://ü?ü"),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected);
        }
        let urls = [
            ("redis://:sec ret@db", "redis://:***@db"),
            ("redis://:s'e`c\"ret@db", "redis://:***@db"),
            ("postgres:app:secret@db/app", "postgres:***@db/app"),
            ("postgres:app:sec?ret@db/app?password=secret", "postgres:***@db/app?password=***"),
            ("sqlite:jobs.db", "sqlite:jobs.db"),
        ];
        for (url, expected) in urls {
            let url: StoreUrl = url.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (expected.to_owned(), format!("{expected:?}")));
        }
        let url: StoreUrl = "redis://:secret@db".parse().unwrap();
        assert_eq!((format!("{url:?}"), url.as_str()), (r#""redis://:***@db""#.to_owned(), "redis://:secret@db"));
    }

    #[test]
    fn a_url_that_names_no_store_is_refused() {
        let cases = [
            ("jobs.db", "store url `jobs.db`: it has no scheme; write it as in `sqlite://jobs.db`"),
            (
                "postgresql+psycopg2://app:secret@db/app",
                "store url `postgresql+psycopg2://app:***@db/app`: leave the driver `psycopg2` out and write \
                 `postgresql://app:***@db/app`",
            ),
            (
                "oracle:app:sec ret@db",
                "store url `oracle:***@db`: no store has the scheme `oracle`; take one of memory, sqlite, postgres, \
                 postgresql, mysql, mariadb, redis, rediss, valkey, valkeys, redis+unix, valkey+unix, mongodb, mongodb+srv, \
                 etcd, etcd+https, zookeeper, rethinkdb",
            ),
            ("memory://here", "store url `memory://here`: nothing follows `memory:`"),
            ("redis://", "store url `redis://`: it ends after its scheme; say where the store is"),
            ("sqlite:", "store url `sqlite:`: it ends after its scheme; say where the store is"),
        ];
        for (url, expected) in cases {
            assert_eq!(url.parse::<StoreUrl>().unwrap_err().to_string(), expected);
        }
    }
}
