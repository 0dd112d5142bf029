//! Parts of replies.

use chrono::{DateTime, Utc};
use redis::Value;

use super::failure::Misread;

/// The items of a list, as many as are expected.
pub(super) fn fixed<const N: usize>(value: Value) -> Result<[Value; N], Misread> {
    items(value)?.try_into().map_err(|_| Misread("a list of another length"))
}

pub(super) fn items(value: Value) -> Result<Vec<Value>, Misread> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        _ => Err(Misread("something else than a list")),
    }
}

pub(super) fn texts(value: Value) -> Result<Vec<String>, Misread> {
    items(value)?.into_iter().map(text).collect()
}

/// The members of a sorted set with their scores, as either version of the protocol has them.
pub(super) fn scored(value: Value) -> Result<Vec<(Value, f64)>, Misread> {
    let score = |value| match value {
        Value::Double(score) => Ok(score),
        value => text(value)?.parse().map_err(|_| Misread("something else than a score")),
    };
    let pairs = match items(value)? {
        flat if flat.first().is_some_and(|first| !matches!(first, Value::Array(_))) => {
            flat.chunks(2).map(|pair| Value::Array(pair.to_vec())).collect()
        }
        pairs => pairs,
    };
    let pair = |pair| fixed(pair).and_then(|[member, at]| Ok((member, score(at)?)));
    pairs.into_iter().map(pair).collect()
}

/// The fields of a hash with their values, as either version of the protocol has them.
pub(super) fn pairs(value: Value) -> Result<Vec<(String, String)>, Misread> {
    let flat = match value {
        Value::Map(pairs) => pairs.into_iter().flat_map(|(field, value)| [field, value]).collect(),
        flat => items(flat)?,
    };
    let flat = flat.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let mut flat = flat.into_iter();
    Ok(std::iter::from_fn(|| flat.next().zip(flat.next())).collect())
}

/// What a script has packed with `cmsgpack`: texts, lists of what is packed, and `false`, which is nothing.
pub(super) fn packed(value: Value) -> Result<Value, Misread> {
    let Value::BulkString(bytes) = value else { return Err(Misread("something else than a text")) };
    unpack(&mut &*bytes, LISTS).ok_or(Misread("a text that is not packed"))
}

/// How deep lists are in each other, at the most.
const LISTS: usize = 4;

fn unpack(bytes: &mut &[u8], lists: usize) -> Option<Value> {
    let tag = *bytes.split_off_first()?;
    let mut size = |count: usize| {
        let digits = bytes.split_off(..count)?;
        Some(digits.iter().fold(0_usize, |size, digit| size << 8 | usize::from(*digit)))
    };
    let (is_list, size) = match tag {
        0xc2 => return Some(Value::Nil),
        0xa0..=0xbf => (false, usize::from(tag & 0x1f)),
        0xd9 => (false, size(1)?),
        0xda => (false, size(2)?),
        0xdb => (false, size(4)?),
        0x90..=0x9f => (true, usize::from(tag & 0x0f)),
        0xdc => (true, size(2)?),
        0xdd => (true, size(4)?),
        _ => return None,
    };
    if is_list {
        let lists = lists.checked_sub(1)?;
        return (0..size).map(|_| unpack(bytes, lists)).collect::<Option<Vec<_>>>().map(Value::Array);
    }
    bytes.split_off(..size).map(|text| Value::BulkString(text.to_vec()))
}

/// Nothing, or what a function reads.
pub(super) fn optional<T>(value: Value, read: impl FnOnce(Value) -> Result<T, Misread>) -> Result<Option<T>, Misread> {
    match value {
        Value::Nil => Ok(None),
        value => read(value).map(Some),
    }
}

pub(super) fn text(value: Value) -> Result<String, Misread> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Err(Misread("something else than a text")),
    }
}

/// A number, or the digits of one.
pub(super) fn number(value: Value) -> Result<i64, Misread> {
    let number = match value {
        Value::Int(number) => Some(number),
        value => text(value)?.parse().ok(),
    };
    number.ok_or(Misread("something else than a number"))
}

pub(super) fn time(value: Value) -> Result<DateTime<Utc>, Misread> {
    DateTime::from_timestamp_micros(number(value)?).ok_or(Misread("a number that is no time"))
}
