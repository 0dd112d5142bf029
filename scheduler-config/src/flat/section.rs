//! The keys of one job store or executor.

use serde_json::{Map, Value};

use super::{FlatConfig, PREFIX};
use crate::{store::StoreConfig, url::StoreUrl};

/// The options of one job store or executor, which are taken one after the other. What is left is refused at the end.
pub(super) struct Section<'a> {
    flat: &'a mut FlatConfig,
    /// What its keys begin with.
    from: String,
    /// What it is called here.
    pub(super) to: String,
    options: Map<String, Value>,
}

impl<'a> Section<'a> {
    pub(super) fn new(flat: &'a mut FlatConfig, from: &str, to: &str, name: &str, options: Map<String, Value>) -> Self {
        Self { flat, from: format!("{PREFIX}{from}.{name}"), to: format!("{to}.{name}"), options }
    }

    /// The one of some types that `type` or `class` names, as APScheduler looks for it: by alias, or by module and class.
    pub(super) fn kind(&mut self, what: &str, known: &[(&'static str, &'static str)]) -> Option<&'static str> {
        let class = self.text("class");
        let alias = self.text("type");
        let aliases = || known.iter().map(|(alias, _)| *alias).collect::<Vec<_>>().join(", ");
        let (key, kind) = match (&alias, &class) {
            (Some(alias), _) => ("type", known.iter().find(|(name, _)| name == alias)),
            (None, Some(class)) => ("class", known.iter().find(|(_, path)| path == class)),
            (None, None) => {
                self.refuse_rest(&format!("this {what} has neither `type` nor `class`; give a `type`: {}", aliases()));
                return None;
            }
        };
        if alias.is_some() && class.is_some() {
            self.refuse("class", "`type` is given, too, and wins; leave one of them out");
        }
        if kind.is_none() {
            self.refuse(key, &format!("APScheduler 3 brings no such {what}; take one of {}", aliases()));
            self.refuse_rest(&format!("the {what} is not known"));
        }
        kind.map(|(alias, _)| *alias)
    }

    /// Takes a text, or a number as one.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.read(key, |value| match value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err("it is no text".to_owned()),
        })
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.read(key, |value| boolean(&value))
    }

    pub(super) fn integer<T: TryFrom<i64>>(&mut self, key: &str) -> Option<T> {
        self.read(key, |value| T::try_from(integer(&value)?).map_err(|_| format!("{value} is out of range")))
    }

    /// Takes a value, or refuses its key.
    pub(super) fn read<T>(&mut self, key: &str, read: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        match read(self.options.remove(key)?) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(key, &why);
                None
            }
        }
    }

    pub(super) fn accept(&mut self, key: &str, became: impl Into<String>) {
        self.flat.accept(&format!("{}.{key}", self.from), became.into());
    }

    /// An option that has become one here.
    pub(super) fn becomes(&mut self, key: &str, option: &str, value: impl Into<Value>) {
        let became = format!("{}.{option} = {}", self.to, value.into());
        self.accept(key, became);
    }

    pub(super) fn refuse(&mut self, key: &str, why: &str) {
        self.flat.refuse(&format!("{}.{key}", self.from), why);
    }

    /// Refuses options, if they are given, and what is in them, for a reason that they have in common.
    pub(super) fn refuse_all(&mut self, keys: &[&str], why: &str) {
        let is_meant = |key: &String| {
            keys.iter().any(|it| key.strip_prefix(it).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        for key in self.rest().iter().filter(|key| is_meant(key)) {
            self.options.remove(key);
            self.refuse(key, why);
        }
    }

    /// Refuses what is left.
    pub(super) fn refuse_rest(&mut self, why: &str) {
        for (key, _) in std::mem::take(&mut self.options) {
            self.refuse(&key, why);
        }
    }

    /// The keys that are left.
    pub(super) fn rest(&self) -> Vec<String> {
        self.options.keys().cloned().collect()
    }
}

/// A store whose URL is made of several keys.
pub(super) fn store(section: &mut Section<'_>, url: &str, keys: &[&str]) -> Option<StoreConfig> {
    match url.parse::<StoreUrl>() {
        Ok(url) => {
            for key in keys {
                section.becomes(key, "url", url.to_string());
            }
            Some(StoreConfig::new(url))
        }
        Err(error) => {
            for key in keys {
                section.refuse(key, &error.to_string());
            }
            None
        }
    }
}

/// What names begin with, from the name of a table or a key.
pub(super) fn prefix(
    section: &mut Section<'_>,
    key: &str,
    advice: &str,
    form: impl FnOnce(&str) -> Option<String>,
) -> Option<String> {
    let name = section.text(key)?;
    let prefix = form(&name);
    match &prefix {
        Some(prefix) => section.becomes(key, "prefix", prefix.as_str()),
        None => section.refuse(key, &format!("`{name}` cannot begin the names here: {advice}")),
    }
    prefix
}

/// Who connects.
#[derive(Default)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl Login {
    /// `user` is the key of the user's name.
    pub(super) fn take(section: &mut Section<'_>, user: &'static str, parts: &mut Vec<&'static str>) -> Self {
        let login = Self { user: section.text(user), password: section.text("password") };
        parts.extend(login.user.as_ref().map(|_| user));
        parts.extend(login.password.as_ref().map(|_| "password"));
        login
    }

    /// With the sign that ends it; nothing without a user and a password.
    pub(super) fn in_url(&self) -> String {
        let user = self.user.as_deref().map(encoded).unwrap_or_default();
        match &self.password {
            Some(password) => format!("{user}:{}@", encoded(password)),
            None if user.is_empty() => user,
            None => format!("{user}@"),
        }
    }
}

/// The host and the port of a server.
pub(super) fn address(section: &mut Section<'_>, port: u16, parts: &mut Vec<&'static str>) -> String {
    let host = section.text("host");
    let given_port = section.integer::<u16>("port");
    parts.extend(host.as_ref().map(|_| "host"));
    parts.extend(given_port.map(|_| "port"));
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    let port = given_port.unwrap_or(port);
    // An address of IPv6 stands in brackets.
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A text as a part of a URL.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// As APScheduler's `asbool`.
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "on" | "y" | "t" | "1" => Ok(true),
            "false" | "no" | "off" | "n" | "f" | "0" => Ok(false),
            _ => Err(format!("`{text}` is neither true nor false")),
        },
        _ => Err("it is neither true nor false".to_owned()),
    }
}

/// As APScheduler's `asint`, but that a fraction is not cut off.
pub(super) fn integer(value: &Value) -> Result<i64, String> {
    let integer = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    integer.ok_or_else(|| format!("{value} is no whole number"))
}
