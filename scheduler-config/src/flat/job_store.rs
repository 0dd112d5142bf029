//! `apscheduler.jobstores.<name>.*`.

use std::time::Duration;

use serde_json::Value;

use super::{
    mongodb,
    section::{Login, Section, address, encoded, prefix, store},
    sqlalchemy,
};
use crate::store::StoreConfig;

const TYPES: &[(&str, &str)] = &[
    ("memory", "apscheduler.jobstores.memory:MemoryJobStore"),
    ("sqlalchemy", "apscheduler.jobstores.sqlalchemy:SQLAlchemyJobStore"),
    ("mongodb", "apscheduler.jobstores.mongodb:MongoDBJobStore"),
    ("redis", "apscheduler.jobstores.redis:RedisJobStore"),
    ("rethinkdb", "apscheduler.jobstores.rethinkdb:RethinkDBJobStore"),
    ("zookeeper", "apscheduler.jobstores.zookeeper:ZooKeeperJobStore"),
    ("etcd", "apscheduler.jobstores.etcd:EtcdJobStore"),
];

pub(super) fn translate(section: &mut Section<'_>) -> Option<StoreConfig> {
    let is_by_alias = section.rest().contains(&"type".to_owned());
    let kind = section.kind("job store", TYPES)?;
    section.refuse_all(&["pickle_protocol"], "nothing is pickled; jobs are JSON");
    section
        .refuse_all(&["client", "engine", "metadata"], "it is an object of Python's; give the address of the server");
    let store = match kind {
        "memory" => "memory:".parse().ok().map(StoreConfig::new),
        "sqlalchemy" => sqlalchemy::translate(section),
        "mongodb" => mongodb::translate(section),
        "redis" => redis(section),
        "rethinkdb" => rethinkdb(section),
        "zookeeper" => zookeeper(section),
        _ => etcd(section),
    };
    let key = if is_by_alias { "type" } else { "class" };
    match &store {
        Some(store) => section.accept(key, format!("{}.url begins with `{}:`", section.to, store.url.store().name)),
        None => section.refuse(key, "the address of the store is refused or missing"),
    }
    section.refuse_rest(&format!(
        "APScheduler's job store `{kind}` does not take it, or it is an option of Python's driver"
    ));
    store
}

fn redis(section: &mut Section<'_>) -> Option<StoreConfig> {
    let is_encrypted = section.boolean("ssl");
    let socket = section.text("unix_socket_path");
    let database = section.integer::<u32>("db");
    let mut parts = Vec::new();
    parts.extend(is_encrypted.map(|_| "ssl"));
    parts.extend(database.map(|_| "db"));
    let login = Login::take(section, "username", &mut parts);
    let url = match socket {
        Some(path) => {
            parts.push("unix_socket_path");
            let user = login.user.map(|user| format!("&user={}", encoded(&user))).unwrap_or_default();
            let password = login.password.map(|password| format!("&pass={}", encoded(&password))).unwrap_or_default();
            format!("redis+unix://{path}?db={}{user}{password}", database.unwrap_or(0))
        }
        None => {
            let address = address(section, 6379, &mut parts);
            let scheme = if is_encrypted == Some(true) { "rediss" } else { "redis" };
            format!("{scheme}://{}{address}/{}", login.in_url(), database.unwrap_or(0))
        }
    };
    let mut store = store(section, &url, &parts)?;
    let is_plain = |key: &str| {
        !key.is_empty() && key.len() <= 64 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
    };
    store.prefix = prefix(section, "jobs_key", "take 1 to 64 letters, digits and `_-.:`", |key| {
        is_plain(key).then(|| key.to_owned())
    });
    section.refuse_all(&["run_times_key"], "one prefix names all keys, which `jobs_key` gives");
    let why = "the store has bounds of its own: 5 s to connect, 10 s for an answer";
    section.refuse_all(&["socket_timeout", "socket_connect_timeout", "retry_on_timeout", "health_check_interval"], why);
    Some(store)
}

fn rethinkdb(section: &mut Section<'_>) -> Option<StoreConfig> {
    let mut parts = Vec::new();
    let login = Login::take(section, "user", &mut parts);
    let address = address(section, 28015, &mut parts);
    let database = section.text("database");
    parts.extend(database.as_ref().map(|_| "database"));
    let database = database.map(|name| format!("/{name}")).unwrap_or_default();
    let mut store = store(section, &format!("rethinkdb://{}{address}{database}", login.in_url()), &parts)?;
    store.prefix = prefix(section, "table", "take at most 31 letters, digits, underscores and hyphens", |name| {
        let is_plain = name.len() < 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        is_plain.then(|| format!("{name}_"))
    });
    store.timeout = timeout(section);
    section.refuse_all(&["ssl"], "the driver knows no TLS; between data centres, take a tunnel");
    Some(store)
}

fn zookeeper(section: &mut Section<'_>) -> Option<StoreConfig> {
    let hosts = section.text("hosts");
    let login = section.read("auth_data", digest);
    let mut parts: Vec<&str> = hosts.iter().map(|_| "hosts").collect();
    parts.extend(login.iter().map(|_| "auth_data"));
    let hosts = hosts.unwrap_or_else(|| "localhost:2181".to_owned());
    let login = login.unwrap_or_default();
    let mut store = store(section, &format!("zookeeper://{}{hosts}", login.in_url()), &parts)?;
    store.prefix = prefix(section, "path", "it does not begin with `/`, or ends with one", |path| {
        (path.starts_with('/') && path.len() > 1 && !path.ends_with('/')).then(|| path.to_owned())
    });
    closing(section);
    section.refuse_all(
        &["timeout"],
        "nothing depends on the session, which lasts 10 s; `timeout` of a store bounds its calls",
    );
    let why = "encryption needs a connector of the program's: `ZooKeeperOptions::connect_with`";
    section.refuse_all(&["use_ssl", "ca", "certfile", "keyfile", "keyfile_password", "verify_certs"], why);
    Some(store)
}

fn etcd(section: &mut Section<'_>) -> Option<StoreConfig> {
    let mut parts = Vec::new();
    let login = Login::take(section, "user", &mut parts);
    let address = address(section, 2379, &mut parts);
    let mut store = store(section, &format!("etcd://{}{address}", login.in_url()), &parts)?;
    store.prefix = prefix(section, "path", "take at most 127 letters, digits and `_-./`", |path| {
        let is_plain = path.len() < 128 && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b));
        is_plain.then(|| format!("{}/", path.trim_end_matches('/')))
    });
    store.timeout = timeout(section);
    closing(section);
    let why = "write a URL that begins with `etcd+https://`, which takes the root certificates of the system, or connect in \
               the program: `EtcdOptions::from_channel`";
    section.refuse_all(&["ca_cert", "cert_key", "cert_cert", "grpc_options"], why);
    Some(store)
}

fn timeout(section: &mut Section<'_>) -> Option<Duration> {
    let seconds: u32 = section.integer("timeout")?;
    section.becomes("timeout", "timeout", format!("{seconds}s"));
    Some(Duration::from_secs(seconds.into()))
}

fn closing(section: &mut Section<'_>) {
    if section.boolean("close_connection_on_exit").is_some() {
        section.accept("close_connection_on_exit", "the connections are the store's own, and end with it");
    }
}

/// The first user and password of kazoo's list of `["digest", "user:password"]`.
fn digest(value: Value) -> Result<Login, String> {
    let pairs: Vec<(String, String)> =
        serde_json::from_value(value).map_err(|_| r#"write it as in [["digest", "user:password"]]"#.to_owned())?;
    match &pairs[..] {
        [(scheme, credentials)] if scheme == "digest" => {
            let (user, password) = credentials.split_once(':').ok_or("the user has no password")?;
            Ok(Login { user: Some(user.to_owned()), password: Some(password.to_owned()) })
        }
        _ => Err("a URL has one user, of the scheme `digest`; connect in the program for more".to_owned()),
    }
}
