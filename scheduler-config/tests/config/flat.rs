//! The dictionaries of APScheduler 3, key by key.

use scheduler_config::{FlatConfig, FlatKey, SchedulerConfig};
use scheduler_core::{Coalesce, PartialOptions};
use serde_json::{Value, json};

/// What becomes of a dictionary, without the part that all keys have in common.
fn told(pairs: &[(&str, Value)]) -> Vec<String> {
    let flat =
        SchedulerConfig::from_flat(pairs.iter().map(|(key, value)| (format!("apscheduler.{key}"), value.clone())));
    flat.to_string().lines().map(|line| line.trim_start_matches("apscheduler.").to_owned()).collect()
}

/// What becomes of one key.
fn one(key: &str, value: impl Into<Value>) -> String {
    let told = told(&[(key, value.into())]);
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].strip_prefix(&format!("{key}: ")).expect("it is about this key").to_owned()
}

#[test]
fn the_example_of_the_user_guide_is_taken_over() {
    let flat = SchedulerConfig::from_flat([
        ("apscheduler.jobstores.mongo", json!({"type": "mongodb"})),
        ("apscheduler.jobstores.default", json!({"type": "sqlalchemy", "url": "sqlite:///jobs.sqlite"})),
        (
            "apscheduler.executors.default",
            json!({"class": "apscheduler.executors.pool:ThreadPoolExecutor", "max_workers": "20"}),
        ),
        ("apscheduler.executors.processpool", json!({"type": "processpool", "max_workers": "5"})),
        ("apscheduler.job_defaults.coalesce", "false".into()),
        ("apscheduler.job_defaults.max_instances", "3".into()),
        ("apscheduler.timezone", "UTC".into()),
    ]);
    let toml = r#"
        timezone = "UTC"
        [job_defaults]
        coalesce = "all"
        max_instances = 3
        [stores]
        mongo = "mongodb://localhost:27017/"
        default = "sqlite://jobs.sqlite"
        [executors]
        default = { type = "thread_pool", threads = 20 }
        processpool = { type = "process_pool", workers = 5 }
    "#;
    assert_eq!(flat.checked().unwrap(), SchedulerConfig::from_toml(toml).unwrap());
}

#[test]
fn flat_nested_and_mixed_dictionaries_are_the_same() {
    let flat = json!({
        "apscheduler.job_defaults.coalesce": true,
        "apscheduler.jobstores.default.type": "redis",
        "apscheduler.jobstores.default.db": 3,
    });
    let nested = json!({"apscheduler": {
        "job_defaults": {"coalesce": true}, "jobstores": {"default": {"type": "redis", "db": 3}},
    }});
    let mixed = json!({
        "apscheduler.job_defaults": {"coalesce": true}, "apscheduler.jobstores": {"default.type": "redis"},
        "apscheduler.jobstores.default.db": 3,
    });
    let text = "# an INI file\n[app:main]\napscheduler.job_defaults.coalesce: yes\n\n\
                apscheduler.jobstores.default.type = redis\napscheduler.jobstores.default.db=3\n";
    let read = |json: Value| SchedulerConfig::from_flat(json.as_object().unwrap().clone());
    let wanted = read(flat);
    assert_eq!(wanted.config.stores["default"].url.as_str(), "redis://localhost:6379/3");
    for other in [read(nested), read(mixed), SchedulerConfig::from_flat_text(text)] {
        assert_eq!(other.config, wanted.config);
        assert_eq!(other.keys.keys().collect::<Vec<_>>(), wanted.keys.keys().collect::<Vec<_>>());
    }
    assert_eq!(read(json!({"apscheduler": {}})).keys.len(), 0);
}

#[test]
fn keys_of_others_are_left_alone_and_all_problems_are_told_at_once() {
    let flat = SchedulerConfig::from_flat([
        ("sqlalchemy.url", "postgresql://u:secret@db/app"),
        ("apscheduler.timezone", "Europe/Atlantis"),
        ("apscheduler.job_defaults.coalesce", "perhaps"),
        ("apscheduler.job_defaults.max_instances", "3"),
        ("apscheduler.jobstores.default.type", "sqlalchemy"),
        ("apscheduler.jobstores.default.url", "oracle://u:secret@db/app"),
        ("apscheduler.zeal", "1"),
        ("apscheduler.zeal", "2"),
    ]);
    assert_eq!(flat.keys["sqlalchemy.url"], FlatKey::Foreign);
    assert_eq!(flat.config.job_defaults, PartialOptions::default().max_instances(3));
    assert_eq!(
        flat.checked().unwrap_err().to_string(),
        "configuration for APScheduler, 5 keys are refused:\n\
         apscheduler.job_defaults.coalesce: refused: `perhaps` is neither true nor false\n\
         apscheduler.jobstores.default.type: refused: the address of the store is refused or missing\n\
         apscheduler.jobstores.default.url: refused: there is no store for `oracle`; take PostgreSQL, MySQL, MariaDB or SQLite\n\
         apscheduler.timezone: refused: the tz database has no zone `Europe/Atlantis`; an example is `Europe/Berlin`\n\
         apscheduler.zeal: refused: it is given twice",
    );
}

#[test]
fn options_of_the_whole_scheduler() {
    let cases = [
        ("timezone", json!("Asia/Tokyo"), "timezone = \"Asia/Tokyo\""),
        ("timezone", json!("local"), "refused: the tz database has no zone `local`; an example is `Europe/Berlin`"),
        ("timezone", json!(1), "refused: it is no text; give the name of a zone"),
        ("daemon", json!("on"), "it is so: threads do not keep a program alive"),
        (
            "daemon",
            json!(false),
            "refused: threads do not keep a program alive; let `main` wait, as `Blocking::start` does",
        ),
        ("daemon", json!([]), "refused: it is neither true nor false"),
        (
            "logger",
            json!("app:log"),
            "refused: it names an object of Python's; listen to events, or subscribe to `tracing`",
        ),
        (
            "jobstore_retry_interval",
            json!(10),
            "refused: a store that fails is asked again after growing pauses, from 50 ms to a tenth of the lease, 10 s at most",
        ),
        ("event_loop", json!("x"), "refused: it is an object of Python's; the runtime is an argument of `builder`"),
        ("io_loop", json!("x"), "refused: it is an object of Python's; the runtime is an argument of `builder`"),
        ("reactor", json!("x"), "refused: it is an object of Python's; the runtime is an argument of `builder`"),
        (
            "standalone",
            json!(true),
            "refused: it is of APScheduler 2; take `Blocking` for a scheduler that is the whole program",
        ),
        ("daemonic", json!(true), "refused: it is of APScheduler 2; threads do not keep a program alive"),
        ("coalesce", json!(true), "refused: it is of APScheduler 2; write it below `apscheduler.job_defaults`"),
        ("misfire_grace_time", json!(1), "refused: it is of APScheduler 2; write it below `apscheduler.job_defaults`"),
        (
            "threadpool.max_threads",
            json!(1),
            "refused: it is of APScheduler 2; write `apscheduler.executors.default.type = threadpool` and `max_workers`",
        ),
        (
            "jobstore.default.class",
            json!("x"),
            "refused: it is of APScheduler 2; write it below `apscheduler.jobstores`",
        ),
        (
            "jobstores.default",
            json!("redis"),
            "refused: write its options as keys of their own, `type` or `class` among them",
        ),
        ("executors", json!({}), "refused: write its options as keys of their own, `type` or `class` among them"),
        ("zeal", json!(1), "refused: APScheduler 3 has no such option"),
    ];
    for (key, value, became) in cases {
        assert_eq!(one(key, value.clone()), became, "{key} = {value}");
    }
}

#[test]
fn job_defaults() {
    let words = [json!(true), json!("Yes"), json!("on"), json!("y"), json!("T"), json!("1"), json!(1), json!(" true ")];
    for word in words {
        assert_eq!(one("job_defaults.coalesce", word), "job_defaults.coalesce = \"latest\"");
    }
    for word in [json!(false), json!("no"), json!("OFF"), json!("n"), json!("f"), json!("0"), json!(0)] {
        assert_eq!(one("job_defaults.coalesce", word), "job_defaults.coalesce = \"all\"");
    }
    let cases = [
        ("coalesce", json!("2"), "refused: `2` is neither true nor false"),
        ("misfire_grace_time", json!("30"), "job_defaults.misfire_grace_time = \"30s\""),
        ("misfire_grace_time", json!(null), "job_defaults.misfire_grace_time = \"none\""),
        ("misfire_grace_time", json!("None"), "job_defaults.misfire_grace_time = \"none\""),
        ("misfire_grace_time", json!(0), "refused: 0 is not more than 0"),
        ("misfire_grace_time", json!("-5"), "refused: \"-5\" is not more than 0"),
        ("misfire_grace_time", json!(1.5), "refused: 1.5 is no whole number"),
        ("misfire_grace_time", json!("soon"), "refused: \"soon\" is no whole number"),
        ("max_instances", json!(" 3 "), "job_defaults.max_instances = 3"),
        ("max_instances", json!(0), "refused: 0 is not more than 0"),
        ("max_instances", json!(5_000_000_000u64), "refused: 5000000000 is out of range"),
        (
            "overlap",
            json!("skip"),
            "refused: APScheduler 3 passes over it; it knows misfire_grace_time, coalesce and max_instances",
        ),
    ];
    for (option, value, became) in cases {
        assert_eq!(one(&format!("job_defaults.{option}"), value.clone()), became, "{option} = {value}");
    }
    let flat = SchedulerConfig::from_flat([
        ("apscheduler.job_defaults.misfire_grace_time", Value::Null),
        ("apscheduler.job_defaults.coalesce", json!("off")),
    ]);
    let defaults = PartialOptions::default().misfire_grace_time(None).coalesce(Coalesce::All);
    assert_eq!(flat.checked().unwrap().job_defaults, defaults);
}

/// What becomes of an executor or a job store with some options, by key.
fn section(kind: &str, options: Value) -> (FlatConfig, Vec<String>) {
    let flat = SchedulerConfig::from_flat([(format!("apscheduler.{kind}.it"), options)]);
    let from = format!("apscheduler.{kind}.it.");
    let told = flat.to_string().lines().map(|line| line.replacen(&from, "", 1)).collect();
    (flat, told)
}

#[test]
fn executors() {
    let thread_pool = "executors.it.type = \"thread_pool\"";
    let cases = [
        (json!({"type": "threadpool"}), vec![format!("type: {thread_pool}")]),
        (
            json!({"type": "threadpool", "max_workers": "20", "pool_kwargs": {"thread_name_prefix": "t", "initializer": "x"}}),
            vec![
                "max_workers: executors.it.threads = 20".to_owned(),
                "pool_kwargs.initializer: refused: it is for Python's pool, which is not there".to_owned(),
                "pool_kwargs.thread_name_prefix: executors.it.name = \"t\"".to_owned(),
                format!("type: {thread_pool}"),
            ],
        ),
        (
            json!({"class": "apscheduler.executors.pool:ThreadPoolExecutor", "max_workers": 0, "queue": 1}),
            vec![
                format!("class: {thread_pool}"),
                "max_workers: refused: 0 is not more than 0".to_owned(),
                "queue: refused: APScheduler's executor `threadpool` does not take it".to_owned(),
            ],
        ),
        (
            json!({"type": "processpool", "max_workers": 4, "pool_kwargs": {"max_tasks_per_child": 9, "mp_context": "fork"}}),
            vec![
                "max_workers: executors.it.workers = 4".to_owned(),
                "pool_kwargs.max_tasks_per_child: executors.it.runs_per_worker = 9".to_owned(),
                "pool_kwargs.mp_context: refused: it is for Python's pool, which is not there".to_owned(),
                "type: executors.it.type = \"process_pool\"".to_owned(),
            ],
        ),
        (
            json!({"type": "threadpool", "class": "apscheduler.executors.debug:DebugExecutor"}),
            vec![
                "class: refused: `type` is given, too, and wins; leave one of them out".to_owned(),
                format!("type: {thread_pool}"),
            ],
        ),
        (
            json!({"max_workers": 4}),
            vec![
                "max_workers: refused: this executor has neither `type` nor `class`; give a `type`: threadpool, \
                 processpool, asyncio, gevent, tornado, twisted, debug"
                    .to_owned(),
            ],
        ),
        (
            json!({"class": "app.executors:Mine", "size": 4}),
            vec![
                "class: refused: APScheduler 3 brings no such executor; take one of threadpool, processpool, asyncio, \
                 gevent, tornado, twisted, debug"
                    .to_owned(),
                "size: refused: the executor is not known".to_owned(),
            ],
        ),
    ];
    for (options, told) in cases {
        assert_eq!(section("executors", options.clone()).1, told, "{options}");
    }
    let others = [
        ("asyncio", "asyncio:AsyncIOExecutor", "spawn"),
        ("gevent", "gevent:GeventExecutor", "spawn"),
        ("tornado", "tornado:TornadoExecutor", "spawn"),
        ("twisted", "twisted:TwistedExecutor", "spawn"),
        ("debug", "debug:DebugExecutor", "inline"),
        ("processpool", "pool:ProcessPoolExecutor", "process_pool"),
    ];
    for (alias, class, name) in others {
        let (by_alias, told) = section("executors", json!({"type": alias}));
        assert_eq!(told, [format!("type: executors.it.type = \"{name}\"")]);
        let (by_class, _) = section("executors", json!({"class": format!("apscheduler.executors.{class}")}));
        assert_eq!(by_alias.config, by_class.config);
    }
    let (_, told) = section("executors", json!({"type": "tornado", "max_workers": 5}));
    assert!(told[0].starts_with("max_workers: refused: it bounds plain functions alone there"), "{told:?}");
}

#[test]
fn urls_of_sqlalchemy() {
    let cases = [
        ("sqlite:///jobs.sqlite", "\"sqlite://jobs.sqlite\""),
        ("sqlite+pysqlite:////var/lib/jobs.db", "\"sqlite:///var/lib/jobs.db\""),
        ("sqlite://", "\"memory:\""),
        ("sqlite:///:memory:", "\"memory:\""),
        ("postgresql://app:secret@db:5432/app", "\"postgres://app:***@db:5432/app\""),
        ("postgresql+asyncpg://app@db/app?sslmode=require", "\"postgres://app@db/app?sslmode=require\""),
        ("postgres://db/app", "\"postgres://db/app\""),
        ("mysql+pymysql://app:secret@db/app?charset=utf8mb4", "\"mysql://app:***@db/app\""),
        (
            "mariadb+mariadbconnector://db/app?unix_socket=/run/s&ssl_ca=/ca",
            "\"mariadb://db/app?socket=/run/s&ssl-ca=/ca\"",
        ),
    ];
    for (url, became) in cases {
        let (flat, told) = section("jobstores", json!({"type": "sqlalchemy", "url": url}));
        assert_eq!(told[1], format!("url: stores.it.url = {became}"));
        assert!(flat.checked().unwrap().stores.contains_key("it"));
    }
    let refused = [
        ("jobs.db", "`jobs.db` is no URL; write it as in `postgresql://user@host/database` or `sqlite:///jobs.sqlite`"),
        ("mssql+pyodbc://u:secret@dsn", "there is no store for `mssql`; take PostgreSQL, MySQL, MariaDB or SQLite"),
        ("sqlite://jobs.db", "a file follows three slashes, as in `sqlite:///jobs.sqlite`"),
        ("sqlite:///file:jobs.db?uri=true", "write the file alone, as in `sqlite:///jobs.db`"),
        ("sqlite:///jobs.db?timeout=5", "the parameters `timeout=5` have no meaning here; leave them out"),
        ("postgresql://db/app?connect_timeout=5", "its parameter `connect_timeout` has no meaning here; leave it out"),
    ];
    for (url, why) in refused {
        let (flat, told) = section("jobstores", json!({"type": "sqlalchemy", "url": url}));
        assert_eq!(
            told,
            [
                "type: refused: the address of the store is refused or missing".to_owned(),
                format!("url: refused: {why}")
            ]
        );
        assert!(flat.config.stores.is_empty());
    }
}

const NO_OBJECT: &str = "it is an object of Python's; give the address of the server";
const NO_PICKLE: &str = "nothing is pickled; jobs are JSON";

/// Each option of each job store of APScheduler 3.11: the options, the URL that comes out, and what becomes of each key.
#[test]
fn job_stores() {
    let cases = [
        (
            json!({"type": "memory", "size": 1}),
            "memory:",
            vec![
                "size: refused: APScheduler's job store `memory` does not take it, or it is an option of Python's driver",
                "type: stores.it.url begins with `memory:`",
            ],
        ),
        (
            json!({
                "type": "sqlalchemy", "url": "postgresql://db/app", "tablename": "jobs", "tableschema": "billing",
                "engine": "x", "metadata": "x", "pickle_protocol": 4,
                "engine_options": {"pool_size": 7, "pool_pre_ping": true},
            }),
            "postgres://db/app",
            vec![
                "engine: refused: it is an object of Python's; give the address of the server",
                "engine_options.pool_pre_ping: refused: the connections are the store's own, and opened again when they are lost",
                "engine_options.pool_size: stores.it.max_connections = 7",
                "metadata: refused: it is an object of Python's; give the address of the server",
                "pickle_protocol: refused: nothing is pickled; jobs are JSON",
                "tablename: stores.it.prefix = \"jobs_\"",
                "tableschema: stores.it.schema = \"billing\"",
                "type: stores.it.url begins with `postgres:`",
                "url: stores.it.url = \"postgres://db/app\"",
            ],
        ),
        (
            json!({"type": "sqlalchemy", "url": "sqlite:///a.db", "tablename": "9", "tableschema": "s", "engine_options.echo": 1}),
            "sqlite://a.db",
            vec![
                "engine_options.echo: refused: the connections are the store's own, and opened again when they are lost",
                "tablename: refused: `9` cannot begin the names here: take at most 31 letters, digits and underscores, a letter first",
                "tableschema: refused: only PostgreSQL has schemas; give the database in the URL",
                "type: stores.it.url begins with `sqlite:`",
                "url: stores.it.url = \"sqlite://a.db\"",
            ],
        ),
        (
            json!({
                "type": "mongodb", "host": "one,two:7", "port": 1, "username": "a@b", "password": "s:ecret",
                "database": "app", "collection": "jobs", "replicaset": "rs0", "ssl": true, "w": 1, "client": "x",
                "tz_aware": true, "authSource": ["x"],
            }),
            "mongodb://a%40b:s%3Aecret@one:1,two:7/?replicaSet=rs0&tls=true&w=1",
            vec![
                "authSource: refused: it is neither a text nor a number nor true nor false",
                "client: refused: it is an object of Python's; give the address of the server",
                "collection: stores.it.prefix = \"jobs_\"",
                "database: stores.it.database = \"app\"",
                "host: stores.it.url = URL",
                "password: stores.it.url = URL",
                "port: stores.it.url = URL",
                "replicaset: stores.it.url = URL",
                "ssl: stores.it.url = URL",
                "type: stores.it.url begins with `mongodb:`",
                "tz_aware: refused: APScheduler's job store `mongodb` does not take it, or it is an option of Python's driver",
                "username: stores.it.url = URL",
                "w: stores.it.url = URL",
            ],
        ),
        (
            json!({"type": "mongodb", "host": "mongodb://db/app", "port": 1, "username": "u", "password": "secret"}),
            "mongodb://db/app",
            vec![
                "host: stores.it.url = URL",
                "password: refused: `host` is a URL: write it in there",
                "port: refused: `host` is a URL: write it in there",
                "type: stores.it.url begins with `mongodb:`",
                "username: refused: `host` is a URL: write it in there",
            ],
        ),
        (
            json!({"type": "mongodb", "host": "mongodb+srv://u:secret@db/app?w=2", "replicaSet": "rs0"}),
            "mongodb+srv://u:secret@db/app?w=2&replicaSet=rs0",
            vec![
                "host: stores.it.url = URL",
                "replicaSet: stores.it.url = URL",
                "type: stores.it.url begins with `mongodb:`",
            ],
        ),
        (
            json!({
                "type": "redis", "host": "::1", "port": "7", "db": 2, "password": "se/cret", "ssl": "true",
                "jobs_key": "apscheduler.jobs", "run_times_key": "apscheduler.run_times", "socket_timeout": 5, "encoding": "x",
            }),
            "rediss://:se%2Fcret@[::1]:7/2",
            vec![
                "db: stores.it.url = URL",
                "encoding: refused: APScheduler's job store `redis` does not take it, or it is an option of Python's driver",
                "host: stores.it.url = URL",
                "jobs_key: stores.it.prefix = \"apscheduler.jobs\"",
                "password: stores.it.url = URL",
                "port: stores.it.url = URL",
                "run_times_key: refused: one prefix names all keys, which `jobs_key` gives",
                "socket_timeout: refused: the store has bounds of its own: 5 s to connect, 10 s for an answer",
                "ssl: stores.it.url = URL",
                "type: stores.it.url begins with `redis:`",
            ],
        ),
        (
            json!({"type": "redis", "unix_socket_path": "/run/redis.sock", "db": 1, "username": "u", "password": "secret"}),
            "redis+unix:///run/redis.sock?db=1&user=u&pass=secret",
            vec![
                "db: stores.it.url = URL",
                "password: stores.it.url = URL",
                "type: stores.it.url begins with `redis:`",
                "unix_socket_path: stores.it.url = URL",
                "username: stores.it.url = URL",
            ],
        ),
        (
            json!({
                "type": "rethinkdb", "host": "db", "user": "u", "password": "secret", "database": "app", "table": "jobs",
                "timeout": 3, "ssl": {"ca_certs": "x"},
            }),
            "rethinkdb://u:secret@db:28015/app",
            vec![
                "database: stores.it.url = URL",
                "host: stores.it.url = URL",
                "password: stores.it.url = URL",
                "ssl.ca_certs: refused: the driver knows no TLS; between data centres, take a tunnel",
                "table: stores.it.prefix = \"jobs_\"",
                "timeout: stores.it.timeout = \"3s\"",
                "type: stores.it.url begins with `rethinkdb:`",
                "user: stores.it.url = URL",
            ],
        ),
        (
            json!({
                "type": "zookeeper", "hosts": "one:2181,two/root", "path": "/apscheduler", "timeout": 10.0,
                "close_connection_on_exit": "yes", "auth_data": [["digest", "u:se@cret"]], "use_ssl": true,
            }),
            "zookeeper://u:se%40cret@one:2181,two/root",
            vec![
                "auth_data: stores.it.url = URL",
                "close_connection_on_exit: the connections are the store's own, and end with it",
                "hosts: stores.it.url = URL",
                "path: stores.it.prefix = \"/apscheduler\"",
                "timeout: refused: nothing depends on the session, which lasts 10 s; `timeout` of a store bounds its calls",
                "type: stores.it.url begins with `zookeeper:`",
                "use_ssl: refused: encryption needs a connector of the program's: `ZooKeeperOptions::connect_with`",
            ],
        ),
        (
            json!({
                "type": "etcd", "host": "db", "port": 2379, "user": "u", "password": "secret", "path": "/apscheduler",
                "timeout": "4", "close_connection_on_exit": true, "ca_cert": "/ca",
            }),
            "etcd://u:secret@db:2379",
            vec![
                "ca_cert: refused: write a URL that begins with `etcd+https://`, which takes the root certificates of the \
                 system, or connect in the program: `EtcdOptions::from_channel`",
                "close_connection_on_exit: the connections are the store's own, and end with it",
                "host: stores.it.url = URL",
                "password: stores.it.url = URL",
                "path: stores.it.prefix = \"/apscheduler/\"",
                "port: stores.it.url = URL",
                "timeout: stores.it.timeout = \"4s\"",
                "type: stores.it.url begins with `etcd:`",
                "user: stores.it.url = URL",
            ],
        ),
    ];
    for (options, url, wanted) in cases {
        let (flat, mut told) = section("jobstores", options.clone());
        let store = &flat.config.stores["it"];
        assert_eq!(store.url.as_str(), url);
        assert!(!told.concat().contains("ecret"), "{told:?}");
        for line in &mut told {
            *line = line.replace(&format!("{:?}", store.url), "URL");
        }
        let wanted: Vec<String> = wanted.iter().map(|line| line.replace(&format!("{:?}", store.url), "URL")).collect();
        assert_eq!(told, wanted, "{options}");
    }
}

#[test]
fn every_type_of_job_store_is_known_by_alias_and_by_class() {
    let types = [
        ("memory", "memory:MemoryJobStore"),
        ("mongodb", "mongodb:MongoDBJobStore"),
        ("redis", "redis:RedisJobStore"),
        ("rethinkdb", "rethinkdb:RethinkDBJobStore"),
        ("zookeeper", "zookeeper:ZooKeeperJobStore"),
        ("etcd", "etcd:EtcdJobStore"),
    ];
    for (alias, class) in types {
        let (by_alias, _) = section("jobstores", json!({"type": alias}));
        let (by_class, _) = section("jobstores", json!({"class": format!("apscheduler.jobstores.{class}")}));
        assert_eq!(by_alias.clone().checked().unwrap(), by_class.config);
        assert!(by_alias.config.stores.contains_key("it"), "{alias}");
        let refused = [("pickle_protocol", NO_PICKLE), ("client", NO_OBJECT)];
        for (key, why) in refused {
            let (_, told) = section("jobstores", json!({"type": alias, key: "x"}));
            assert_eq!(told[0], format!("{key}: refused: {why}"));
        }
    }
    let class = "apscheduler.jobstores.sqlalchemy:SQLAlchemyJobStore";
    let (flat, _) = section("jobstores", json!({"class": class, "url": "sqlite:///a.db"}));
    assert!(flat.checked().is_ok());
}

#[test]
fn a_worker_that_ends_after_no_run_is_refused() {
    let flat = SchedulerConfig::from_flat([(
        "apscheduler.executors.it",
        json!({"type": "processpool", "pool_kwargs": {"max_tasks_per_child": 0}}),
    )]);
    let expected = "apscheduler.executors.it.pool_kwargs.max_tasks_per_child: refused: 0 is not more than 0\n\
                    apscheduler.executors.it.type: executors.it.type = \"process_pool\"\n";
    assert_eq!(flat.to_string(), expected);
}

#[test]
fn a_pool_of_any_number_of_connections_is_refused() {
    let flat = SchedulerConfig::from_flat([(
        "apscheduler.jobstores.it",
        json!({"type": "sqlalchemy", "url": "postgresql://db/app", "engine_options": {"pool_size": 0}}),
    )]);
    let why = flat.checked().unwrap_err().to_string();
    assert!(why.contains("engine_options.pool_size: refused: 0 means any number there"), "{why}");
}
