//! TOML and JSON become values and back, and errors say where.

use std::{num::NonZeroUsize, time::Duration};

use scheduler_config::{ExecutorConfig, SchedulerConfig, StoreConfig};
use scheduler_core::{Coalesce, Overlap, PartialOptions, Retry};
use scheduler_stores::{Synchronous, ZooKeeperAccess};

const EVERYTHING: &str = r#"
timezone = "Europe/Berlin"
lease = "30s"
accuracy = 0.005
run_limit = 500

[job_defaults]
misfire_grace_time = "5m"
coalesce = true
max_instances = 3
overlap = { queue = 5 }
timeout = "none"
retry = { attempts = 5, backoff = "10s" }

[stores]
default = "postgres://app:p%40ss@db/app"
scratch = "memory:"
file = { url = "sqlite://jobs.db", prefix = "billing_", poll = "none", payload_limit = 1000, synchronous = "normal" }
keeper = { url = "zookeeper://one,two", prefix = "/jobs", timeout = 3, access = "everyone" }

[executors]
default = { type = "spawn", limit = 50 }
reports = { type = "thread_pool", threads = 4, name = "reports", stack_size = 4194304 }
crashing = { type = "process_pool", workers = 2, runs_per_worker = 100, grace = "5s" }
commands = { type = "commands", limit = 2 }
debug = { type = "inline" }
"#;

#[test]
fn everything_that_can_be_said_is_read() {
    let config = SchedulerConfig::from_toml(EVERYTHING).unwrap();
    assert_eq!(config.timezone, Some(chrono_tz::Europe::Berlin));
    assert_eq!((config.lease, config.accuracy), (Some(Duration::from_secs(30)), Some(Duration::from_millis(5))));
    assert_eq!(config.run_limit, Some(500));
    let defaults = PartialOptions::default()
        .misfire_grace_time(Duration::from_secs(300))
        .coalesce(Coalesce::Latest)
        .max_instances(3)
        .overlap(Overlap::Queue(5))
        .timeout(None)
        .retry(Retry::attempts(5).backoff(Duration::from_secs(10)));
    assert_eq!(config.job_defaults, defaults);

    let mut file = StoreConfig::new("sqlite://jobs.db".parse().unwrap());
    file.prefix = Some("billing_".to_owned());
    file.poll = Some(None);
    file.payload_limit = Some(1000);
    file.synchronous = Some(Synchronous::Normal);
    assert_eq!(config.stores["file"], file);
    let mut keeper = StoreConfig::new("zookeeper://one,two".parse().unwrap());
    keeper.prefix = Some("/jobs".to_owned());
    keeper.timeout = Some(Duration::from_secs(3));
    keeper.access = Some(ZooKeeperAccess::Everyone);
    assert_eq!(config.stores["keeper"], keeper);
    assert_eq!(config.stores["scratch"], StoreConfig::new("memory:".parse().unwrap()));

    let spawn = ExecutorConfig::Spawn { limit: NonZeroUsize::new(50) };
    let pool = ExecutorConfig::ThreadPool {
        threads: NonZeroUsize::new(4),
        name: Some("reports".to_owned()),
        stack_size: Some(4 << 20),
    };
    assert_eq!((&config.executors["default"], &config.executors["reports"]), (&spawn, &pool));
    assert_eq!(config.executors["debug"], ExecutorConfig::Inline);
}

#[test]
fn a_configuration_goes_there_and_back() {
    for text in ["", EVERYTHING] {
        let config = SchedulerConfig::from_toml(text).unwrap();
        let toml = toml::to_string(&config).unwrap();
        assert_eq!(SchedulerConfig::from_toml(&toml).unwrap(), config, "{toml}");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(SchedulerConfig::from_json(&json).unwrap(), config, "{json}");
    }
}

#[test]
fn nothing_is_the_default() {
    assert_eq!(SchedulerConfig::from_toml("").unwrap(), SchedulerConfig::default());
    assert_eq!(SchedulerConfig::from_json("{}").unwrap(), SchedulerConfig::default());
    assert_eq!(serde_json::to_string(&SchedulerConfig::default()).unwrap(), "{}");
}

#[test]
fn a_section_of_a_programs_own_configuration_is_one_too() {
    #[derive(serde::Deserialize)]
    struct Service {
        port: u16,
        scheduler: SchedulerConfig,
    }
    let service: Service = toml::from_str("port = 80\n[scheduler.stores]\ndefault = 'memory:'\n").unwrap();
    assert_eq!(service.port, 80);
    assert!(service.scheduler.stores.contains_key("default"));
}

/// What is wrong with a text, and what is said of it.
const REFUSED: &[(&str, &str)] = &[
    ("lease = ", "configuration, line 1: string values must be quoted, expected literal string"),
    (
        "a = 1",
        "configuration, line 1, `a`: unknown field `a`, expected one of `timezone`, `lease`, `accuracy`, `run_limit`, `job_defaults`, `stores`, `executors`, `jobs`",
    ),
    (
        "timezone = 'Europe/Atlantis'",
        "configuration, line 1, `timezone`: the tz database has no zone `Europe/Atlantis`; an example is `Europe/Berlin`",
    ),
    (
        "\nlease = 'long'",
        "configuration, line 2, `lease`: `long` is no duration; write it as in 1d 2h 3m 4.5s or 250ms",
    ),
    (
        "[job_defaults]\ncoalesce = 'newest'",
        "configuration, line 2, `job_defaults.coalesce`: unknown variant `newest`, expected one of `latest`, `earliest`, `all`",
    ),
    (
        "[job_defaults.retry]\nbackof = 1",
        "configuration, line 2, `job_defaults.retry.backof`: unknown field `backof`, expected one of `attempts`, `backoff`, `factor`, `cap`, `jitter`, `on`",
    ),
    (
        "[stores]\nmain = 'oracle://u:secret@db'",
        "configuration, line 2, `stores.main`: store url `oracle://u:***@db`: no store has the scheme `oracle`; take one of memory, sqlite, postgres, postgresql, mysql, mariadb, redis, rediss, valkey, valkeys, redis+unix, valkey+unix, mongodb, mongodb+srv, etcd, etcd+https, zookeeper, rethinkdb",
    ),
    (
        "stores = 'redis://u:secret@db'",
        "configuration, line 1, `stores`: invalid type: string \"redis://u:***@db\", expected a map",
    ),
    ("[stores.main]\nprefix = 'a'", "configuration, line 1, `stores.main`: missing field `url`"),
    (
        "[stores.main]\nurl = 'redis://db'\nschema = 'jobs'",
        "configuration, line 1, `stores.main`: `schema`: the redis store does not have it, only prefix, payload_limit",
    ),
    (
        "[stores.main]\nurl = 'memory:'\nprefix = 'jobs'",
        "configuration, line 1, `stores.main`: `prefix`: the memory store has no options",
    ),
    (
        "[stores.main]\nurl = 'mongodb://db'\npoll = 'none'",
        "configuration, line 1, `stores.main`: `poll`: a mongodb store cannot do without; give a duration",
    ),
    (
        "[executors]\nheavy = { type = 'threads' }",
        "configuration, line 2, `executors.heavy.type`: unknown variant `threads`, expected one of `spawn`, `thread_pool`, `process_pool`, `commands`, `inline`",
    ),
    ("[executors]\nheavy = { threads = 2 }", "configuration, line 2, `executors.heavy`: missing field `type`"),
    (
        "[executors]\nheavy = { type = 'thread_pool', threads = 0 }",
        "configuration, line 2, `executors.heavy.threads`: invalid value: integer `0`, expected a nonzero usize",
    ),
    (
        "[executors]\nheavy = { type = 'spawn', threads = 2 }",
        "configuration, line 2, `executors.heavy`: `threads`: an executor of type `spawn` does not have it, only limit",
    ),
    (
        "[executors]\nheavy = { type = 'inline', limit = 2 }",
        "configuration, line 2, `executors.heavy`: `limit`: an executor of type `inline` has no options",
    ),
];

#[test]
fn an_error_says_where_and_what_without_a_password() {
    for (text, message) in REFUSED {
        assert_eq!(SchedulerConfig::from_toml(text).unwrap_err().to_string(), *message, "{text}");
    }
    let json = r#"{"stores": {"main": {"url": "sqlite:jobs.db", "pol": 1}}}"#;
    let message = "configuration, `stores.main.pol`: unknown field `pol`, expected one of `url`, `prefix`, `schema`, `database`, \
                   `poll`, `create_tables`, `payload_limit`, `max_connections`, `timeout`, `synchronous`, `access` at line 1 column 51";
    assert_eq!(SchedulerConfig::from_json(json).unwrap_err().to_string(), message);
    assert_eq!(
        SchedulerConfig::from_json("{} {}").unwrap_err().to_string(),
        "configuration: trailing characters at line 1 column 4"
    );
}

#[test]
fn debug_shows_no_password() {
    let shown = format!("{:?}", SchedulerConfig::from_toml(EVERYTHING).unwrap());
    assert!(shown.contains("postgres://app:***@db/app") && !shown.contains("p%40ss"), "{shown}");
}
