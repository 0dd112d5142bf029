//! A statement that scans a table gets slower with each job. So PostgreSQL is asked for its plan of each.

use std::str::FromStr;

use scheduler_core::store::Clock;
use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, Row, postgres::PgConnectOptions};

use super::{PostgresOptions, connection, statements};
use crate::sql::server;

/// How the statements are run: as the store does, and by someone whose session has the server's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    Store,
    Plain,
}

/// Ten thousand jobs, of which twenty are due, with ten runs each, and what is known of them by ANALYZE.
const FILL: &str = "
    INSERT INTO {p}jobs (uid, id, body, task, v, next_fire_time, due)
        SELECT lpad(to_hex(n), 32, '0'), 'job-' || n, '{}', 'task', 1, n * 1000, n * 1000
        FROM generate_series(1, 10000) AS n;
    INSERT INTO {p}runs (uid, seq, fire_time, state, verdict, attempt, takeovers, due, owner, fence, cancel_requested)
        SELECT lpad(to_hex(n % 10000 + 1), 32, '0'), n / 10000, n, CASE WHEN n < 50 THEN 'running' ELSE 'ended' END,
            CASE WHEN n < 50 THEN NULL ELSE 'ok' END, 1, 0, n, 'node-' || n % 4, 1, 0
        FROM generate_series(1, 99999) AS n;
    INSERT INTO {p}tags (tag, uid) SELECT 'tag-' || n % 10, lpad(to_hex(n), 32, '0') FROM generate_series(1, 10000) AS n;
    INSERT INTO {p}nodes (id, lease_until, last_claim_seq) SELECT 'node-' || n, 20000, 1 FROM generate_series(0, 3) AS n;
    ANALYZE {p}jobs; ANALYZE {p}runs; ANALYZE {p}nodes; ANALYZE {p}tags";

#[test]
fn no_statement_scans_a_table() {
    let prefix = server::prefix();
    futures_lite::future::block_on(async {
        let url = server::url("postgres");
        let options = || PostgresOptions::new().table_prefix(&prefix).unwrap().connect(&url);
        drop(options().await.unwrap());
        let connect = PgConnectOptions::from_str(&url).unwrap();
        let mut plain = connect.connect().await.unwrap();
        run(&mut plain, &FILL.replace("{p}", &prefix)).await;
        let mut of_store = connection::open(connect, None).await.unwrap();

        let statements = statements::statements(&prefix, Clock::Server);
        for (name, text) in statements.all() {
            let plan = plan(&mut of_store, name, text, None).await;
            // All jobs are counted along an index.
            check(name, &plan, &prefix, Session::Store, ["counts", "count_over"].contains(&name));
            if ["found_by_id", "found_tied", "found_later", "found_never"].contains(&name) {
                assert!(!plan.to_string().contains("\"Sort\""), "{name}: {plan:#}");
            }
            // A bitmap would be made of all that fits, however few are asked for.
            if name.starts_with("found_") || name.starts_with("fired") || name.starts_with("judged") {
                assert!(!plan.to_string().contains("Bitmap"), "{name}: {plan:#}");
            }
        }
        // The most frequent one does without the store's settings, with and without a look at its arguments.
        let arguments = r#"20000, '["task"]', 1, 'node-1', 20000, 1000, 0"#;
        for (mode, arguments) in [("force_generic_plan", None), ("force_custom_plan", Some(arguments))] {
            run(&mut plain, &format!("SET plan_cache_mode = {mode}")).await;
            let plan = plan(&mut plain, "due", &statements.due, arguments).await;
            check("due", &plan, &prefix, Session::Plain, false);
            let text = plan.to_string();
            assert!(text.contains(&format!("{prefix}jobs_due")) && !text.contains("\"Sort\""), "{plan:#}");
        }
        let tables = ["jobs", "runs", "nodes", "meta", "tags"].map(|table| format!("{prefix}{table}"));
        run(&mut plain, &format!("DROP TABLE {}", tables.join(", "))).await;
    });
}

async fn plan(connection: &mut PgConnection, name: &str, text: &str, arguments: Option<&str>) -> Value {
    let count = (1..).take_while(|n| text.contains(&format!("${n}"))).count();
    let arguments = arguments.map_or_else(|| vec!["NULL"; count].join(", "), str::to_owned);
    run(connection, &format!("PREPARE plan_{name} AS {text}")).await;
    let arguments = if count == 0 { String::new() } else { format!("({arguments})") };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE plan_{name}{arguments}");
    let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *connection).await.unwrap();
    run(connection, &format!("DEALLOCATE plan_{name}")).await;
    serde_json::from_str(&rows[0].try_get_unchecked::<String, _>(0).unwrap()).unwrap()
}

/// Each look into a table of jobs or runs goes through an index, up to a bound or a limit.
fn check(name: &str, plan: &Value, prefix: &str, session: Session, is_limited: bool) {
    let is_limited = is_limited || plan["Node Type"] == "Limit";
    let of_store = |name: &str| plan[name].as_str().and_then(|it| it.strip_prefix(prefix));
    if let Some("jobs" | "runs" | "tags") = of_store("Relation Name") {
        assert_ne!(plan["Node Type"], "Seq Scan", "{name}, {session:?}: {plan:#}");
    }
    if of_store("Index Name").is_some_and(|index| !index.starts_with("nodes")) {
        let is_bounded = plan.get("Index Cond").is_some();
        assert!(is_bounded || is_limited, "{name}, {session:?}: {plan:#}");
    }
    match plan {
        Value::Object(fields) => fields.values().for_each(|it| check(name, it, prefix, session, is_limited)),
        Value::Array(items) => items.iter().for_each(|it| check(name, it, prefix, session, is_limited)),
        _ => {}
    }
}

async fn run(connection: &mut PgConnection, sql: &str) {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.unwrap();
}
