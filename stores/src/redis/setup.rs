//! Whether a server is set up to keep what it is given, as far as it says so.

use std::sync::Arc;

use redis::InfoDict;

use super::connection::Link;

/// What a server says of itself.
#[derive(Debug, Default)]
pub(super) struct Setup {
    info: Option<InfoDict>,
    /// When it takes snapshots, as in `3600 1`; empty for never, none if it does not say.
    save: Option<String>,
}

impl Link {
    /// What is amiss with the server. Services often forbid `CONFIG`, and some `INFO`; what they keep to themselves is not
    /// guessed.
    pub(super) async fn warnings(self: &Arc<Self>) -> Vec<String> {
        self.setup().await.judged(self.failures.place())
    }
}

impl Setup {
    pub(super) fn new(info: Option<InfoDict>, save: Option<String>) -> Self {
        Self { info, save }
    }

    fn judged(&self, place: &str) -> Vec<String> {
        let text = |key| self.info.as_ref().and_then(|info| info.get::<String>(key)).unwrap_or_default();
        let mut warnings = Vec::new();
        let (limit, policy) = (text("maxmemory"), text("maxmemory_policy"));
        if !["", "0"].contains(&limit.as_str()) && !["", "noeviction"].contains(&policy.as_str()) {
            warnings.push(format!(
                "{place}: it deletes keys, jobs among them, when its memory of {limit} bytes is full (`maxmemory-policy \
                 {policy}`); set `maxmemory-policy noeviction`"
            ));
        }
        if text("aof_enabled") == "0" && text("role") != "slave" && self.save.as_deref() == Some("") {
            warnings.push(format!(
                "{place}: it writes nothing to a disk, and jobs are gone when it restarts; set `appendonly yes`, or `save` \
                 if some minutes may be lost"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use redis::{InfoDict, Value};

    use super::Setup;

    fn judged(info: &str, save: Option<&str>) -> Vec<String> {
        let info = Value::BulkString(info.replace('\n', "\r\n").into());
        Setup::new(redis::from_redis_value::<InfoDict>(info).ok(), save.map(str::to_owned)).judged("redis")
    }

    /// As Redis 7.0 and services that run it say it.
    #[test]
    fn what_may_lose_jobs_is_said_and_what_is_not_known_is_not_guessed() {
        let sound = "# Memory\nmaxmemory:0\nmaxmemory_policy:allkeys-lru\n# Persistence\naof_enabled:1\nrole:master\n";
        assert_eq!(judged(sound, Some("")), [""; 0]);
        let cache = "maxmemory:1048576\nmaxmemory_policy:allkeys-lru\naof_enabled:0\nrole:master\n";
        let warnings = judged(cache, Some(""));
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].contains("1048576") && warnings[0].contains("noeviction"), "{warnings:?}");
        assert!(warnings[1].contains("appendonly yes"), "{warnings:?}");
        assert_eq!(judged(cache, None).len(), 1);
        assert_eq!(judged(cache, Some("3600 1")).len(), 1);
        assert_eq!(judged("maxmemory:1\nmaxmemory_policy:noeviction\naof_enabled:0\n", None), [""; 0]);
        assert_eq!(judged("", None), [""; 0]);
    }
}
