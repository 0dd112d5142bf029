//! The options of `MongoDBJobStore`, most of which are those of pymongo's `MongoClient`.

use serde_json::Value;

use super::section::{Login, Section, encoded, prefix, store};
use crate::store::StoreConfig;

/// The options of the driver that a URL can carry, as that writes them, and other names that pymongo has for them.
const IN_URL: &[(&str, &[&str])] = &[
    ("appName", &[]),
    ("authMechanism", &[]),
    ("authSource", &[]),
    ("connectTimeoutMS", &[]),
    ("directConnection", &[]),
    ("heartbeatFrequencyMS", &[]),
    ("journal", &["j"]),
    ("localThresholdMS", &[]),
    ("maxIdleTimeMS", &[]),
    ("maxPoolSize", &[]),
    ("minPoolSize", &[]),
    ("readConcernLevel", &[]),
    ("readPreference", &[]),
    ("replicaSet", &[]),
    ("retryReads", &[]),
    ("retryWrites", &[]),
    ("serverSelectionTimeoutMS", &[]),
    ("tls", &["ssl"]),
    ("tlsAllowInvalidCertificates", &[]),
    ("tlsCAFile", &["ssl_ca_certs"]),
    ("tlsCertificateKeyFile", &["ssl_certfile"]),
    ("w", &[]),
    ("wTimeoutMS", &[]),
];

pub(super) fn translate(section: &mut Section<'_>) -> Option<StoreConfig> {
    let mut parts = Vec::new();
    let login = Login::take(section, "username", &mut parts);
    let hosts = section.read("host", hosts);
    let port = section.integer::<u16>("port");
    parts.extend(port.map(|_| "port"));
    let port = port.unwrap_or(27017);
    let base = match hosts.as_deref() {
        Some([url]) if url.starts_with("mongodb://") || url.starts_with("mongodb+srv://") => {
            // pymongo lets them win over what the URL says, or complete it.
            for key in parts.drain(..) {
                section.refuse(key, "`host` is a URL: write it in there");
            }
            url.clone()
        }
        hosts => {
            let with_port = |host: &String| if host.contains(':') { host.clone() } else { format!("{host}:{port}") };
            let hosts =
                hosts.map_or_else(|| vec![format!("localhost:{port}")], |hosts| hosts.iter().map(with_port).collect());
            format!("mongodb://{}{}/", login.in_url(), hosts.join(","))
        }
    };

    parts.extend(hosts.as_ref().map(|_| "host"));
    let mut url = base;
    let mut keys: Vec<String> = parts.into_iter().map(ToOwned::to_owned).collect();
    for key in section.rest() {
        // As in pymongo, whatever their case.
        let is_named = |name: &&str| name.eq_ignore_ascii_case(&key);
        let Some((name, _)) = IN_URL.iter().find(|(name, others)| is_named(name) || others.iter().any(&is_named))
        else {
            continue;
        };
        let value = section.read(&key, |value| match value {
            Value::String(text) => Ok(text),
            Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
            _ => Err("it is neither a text nor a number nor true nor false".to_owned()),
        });
        if let Some(value) = value {
            let sign = if url.contains('?') { '&' } else { '?' };
            url.push_str(&format!("{sign}{name}={}", encoded(&value)));
            keys.push(key);
        }
    }
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut store = store(section, &url, &keys)?;
    store.database = section.text("database");
    if let Some(name) = &store.database {
        let name = name.clone();
        section.becomes("database", "database", name);
    }
    store.prefix =
        prefix(section, "collection", "take at most 31 letters, digits and underscores, a letter first", |name| {
            let is_plain = name.len() < 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            (is_plain && !name.starts_with(|first: char| first.is_ascii_digit())).then(|| format!("{name}_"))
        });
    Some(store)
}

/// One host, one URL, or several hosts.
fn hosts(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::String(hosts) if hosts.contains("://") => Ok(vec![hosts]),
        Value::String(hosts) => Ok(hosts.split(',').map(|host| host.trim().to_owned()).collect()),
        hosts => serde_json::from_value(hosts).map_err(|_| "it is neither a host nor a list of hosts".to_owned()),
    }
}
