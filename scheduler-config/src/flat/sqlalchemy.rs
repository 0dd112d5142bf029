//! The options of `SQLAlchemyJobStore`, and the URLs of SQLAlchemy.

use super::section::{Section, prefix, store};
use crate::{connect::options_of, store::StoreConfig, url::shown};

pub(super) fn translate(section: &mut Section<'_>) -> Option<StoreConfig> {
    let mut store = match translated(&section.text("url")?) {
        Ok(url) => store(section, &url, &["url"])?,
        Err(why) => {
            section.refuse("url", &why);
            return None;
        }
    };
    let database = store.url.store().name;
    if database == "memory" {
        section.refuse_all(
            &["tablename", "tableschema", "engine_options"],
            "the database in memory has become a memory store",
        );
        return Some(store);
    }
    let is_name = |name: &str| is_name(database, name);
    store.prefix = prefix(section, "tablename", advice(database), |name| is_name(name).then(|| format!("{name}_")));
    store.schema = match database {
        "postgres" => section.text("tableschema"),
        _ => {
            section.refuse_all(&["tableschema"], "only PostgreSQL has schemas; give the database in the URL");
            None
        }
    };
    if let Some(schema) = store.schema.clone() {
        section.becomes("tableschema", "schema", schema);
    }
    engine_options(section, &mut store);
    Some(store)
}

fn engine_options(section: &mut Section<'_>, store: &mut StoreConfig) {
    if options_of(store.url.store().name).contains(&"max_connections") {
        let key = "engine_options.pool_size";
        match section.integer(key) {
            Some(0) => section.refuse(key, "0 means any number there, which a store does not open; give the most"),
            Some(connections) => {
                store.max_connections = Some(connections);
                section.becomes(key, "max_connections", connections);
            }
            None => {}
        }
    }
    let why = "the connections are the store's own, and opened again when they are lost";
    section.refuse_all(&["engine_options"], why);
}

fn is_name(database: &str, name: &str) -> bool {
    let is_letter = |b: u8| match database {
        "sqlite" => b.is_ascii_alphabetic(),
        _ => b.is_ascii_lowercase(),
    };
    let is_plain = name.bytes().all(|b| is_letter(b) || b.is_ascii_digit() || b == b'_');
    let is_reserved = name.starts_with("pg_") || name.to_lowercase().starts_with("sqlite_");
    (1..32).contains(&name.len()) && is_plain && !name.starts_with(|first: char| first.is_ascii_digit()) && !is_reserved
}

fn advice(database: &str) -> &'static str {
    match database {
        "sqlite" => "take at most 31 letters, digits and underscores, a letter first",
        _ => "take at most 31 lower-case letters, digits and underscores, a letter first",
    }
}

/// A URL of SQLAlchemy as one of a store.
fn translated(url: &str) -> Result<String, String> {
    let form = "write it as in `postgresql://user@host/database` or `sqlite:///jobs.sqlite`";
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("`{}` is no URL; {form}", shown(url)))?;
    let dialect = scheme.split_once('+').map_or(scheme, |(dialect, _driver)| dialect);
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    match dialect {
        "sqlite" => sqlite(address, query),
        "postgresql" | "postgres" => Ok(format!("postgres://{address}{}", parameters(query, postgres_parameter)?)),
        "mysql" | "mariadb" => Ok(format!("{dialect}://{address}{}", parameters(query, mysql_parameter)?)),
        _ => Err(format!("there is no store for `{dialect}`; take PostgreSQL, MySQL, MariaDB or SQLite")),
    }
}

/// SQLAlchemy writes a relative path after three slashes and an absolute one after four; stores have one less.
fn sqlite(address: &str, query: &str) -> Result<String, String> {
    match address.strip_prefix('/') {
        None if address.is_empty() => Ok("memory:".to_owned()),
        Some("" | ":memory:") => Ok("memory:".to_owned()),
        None => Err("a file follows three slashes, as in `sqlite:///jobs.sqlite`".to_owned()),
        Some(path) if path.starts_with("file:") => {
            Err(format!("write the file alone, as in `sqlite:///{}`", &path[5..]))
        }
        Some(_) if !query.is_empty() => Err(format!("the parameters `{query}` have no meaning here; leave them out")),
        Some(path) => Ok(format!("sqlite://{path}")),
    }
}

/// The parameters of a URL by the names that they have here.
fn parameters(query: &str, known: fn(&str) -> Option<&'static str>) -> Result<String, String> {
    let mut parameters = String::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match known(name) {
            Some("") => {}
            Some(name) => {
                parameters.push(if parameters.is_empty() { '?' } else { '&' });
                parameters.push_str(&format!("{name}={value}"));
            }
            None => return Err(format!("its parameter `{name}` has no meaning here; leave it out")),
        }
    }
    Ok(parameters)
}

/// Those of libpq that the driver has, too.
fn postgres_parameter(name: &str) -> Option<&'static str> {
    let known = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "host",
        "port",
        "user",
        "password",
        "dbname",
        "application_name",
        "options",
    ];
    known.into_iter().find(|known| *known == name)
}

/// Nothing for what the store sets itself.
fn mysql_parameter(name: &str) -> Option<&'static str> {
    match name {
        "charset" => Some(""),
        "unix_socket" => Some("socket"),
        "ssl_ca" => Some("ssl-ca"),
        "ssl_cert" => Some("ssl-cert"),
        "ssl_key" => Some("ssl-key"),
        _ => None,
    }
}
