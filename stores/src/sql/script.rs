//! The statements that create the tables, for a store that runs them and for a tool that runs them in its place.

use scheduler_core::store::{StoreError, StoreErrorKind};

use super::Failures;

/// A statement of a migration with the prefix of the tables in the place of `{p}`, indented as a file would have it.
pub(crate) fn filled(step: &str, prefix: &str) -> String {
    let lines = step.split('\n').map(|line| line.strip_prefix("    ").unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n").replace("{p}", prefix)
}

/// Statements as a text for a tool.
pub(crate) fn script(prefix: &str, from: i64, to: i64, statements: &[String]) -> String {
    let what = match from {
        0 => format!("The tables `{prefix}*` of apscheduler, schema {to}."),
        _ => format!("The tables `{prefix}*` of apscheduler, from schema {from} to schema {to}."),
    };
    let statements = statements.iter().map(|statement| format!("\n{};\n", statement.trim_end_matches(';')));
    format!("-- {what}\n{}", statements.collect::<String>())
}

/// Refuses to say how tables of a schema that this build does not know are brought up to date.
pub(crate) fn check_from(from: i64, newest: i64) -> Result<(), StoreError> {
    if (0..=newest).contains(&from) {
        return Ok(());
    }
    let message = format!("schema {from}: this build knows schemas 0, which is none, to {newest}");
    Err(StoreError::new(StoreErrorKind::Rejected, message))
}

/// The tables that statements create.
pub(crate) fn created_tables(statements: &[String]) -> Vec<String> {
    let created = statements.iter().flat_map(|statement| statement.split("CREATE TABLE ").skip(1));
    let name = |rest: &str| {
        let rest = rest.trim_start_matches("IF NOT EXISTS ");
        rest.split([' ', '(', '\n']).next().unwrap_or_default().to_owned()
    };
    created.map(name).collect()
}

impl Failures {
    /// Refuses tables that a store may not create or change itself, unless they are those of this build. `options` is where
    /// the statements for them are, `missing` which of them are not there.
    pub(crate) fn check_tables(
        &self,
        options: &str,
        version: i64,
        newest: i64,
        missing: &[String],
    ) -> Result<(), StoreError> {
        let why = if version == newest && missing.is_empty() {
            return Ok(());
        } else if version > 0 && version < newest {
            format!(
                "its tables have schema {version}, this build needs schema {newest}, and with `create_tables(false)` \
                 it does not change them; run the statements of `{options}::schema_sql_from({version})`"
            )
        } else if missing.is_empty() {
            "its tables are there, but no row `schema` in the one for meta data; run all statements of `schema_sql`, \
             of which the last one writes it"
                .to_owned()
        } else {
            let missing: Vec<String> = missing.iter().map(|table| format!("`{table}`")).collect();
            format!(
                "there is no table {}, and with `create_tables(false)` none is created; run the statements of \
                 `{options}::schema_sql`",
                missing.join(", ")
            )
        };
        Err(self.because(StoreErrorKind::Incompatible, &why))
    }
}

#[cfg(test)]
mod tests {
    use scheduler_core::store::StoreErrorKind;

    use super::{created_tables, filled, script};
    use crate::sql::Failures;

    #[test]
    fn a_script_has_its_statements_one_after_the_other() {
        let step =
            filled("CREATE TABLE {p}jobs (\n        uid TEXT\n    );\n    CREATE INDEX {p}due ON {p}jobs (due);", "t_");
        let stamp = "UPDATE t_meta SET value = 1".to_owned();
        assert_eq!(
            script("t_", 0, 1, &[step, stamp]),
            "-- The tables `t_*` of apscheduler, schema 1.\n\n\
             CREATE TABLE t_jobs (\n    uid TEXT\n);\nCREATE INDEX t_due ON t_jobs (due);\n\n\
             UPDATE t_meta SET value = 1;\n"
        );
    }

    #[test]
    fn tables_that_are_too_old_are_told_with_what_changes_them() {
        let failures = Failures::new("a place".to_owned(), |_| (StoreErrorKind::Unavailable, ""));
        let error = failures.check_tables("PostgresOptions", 1, 2, &["t_tags".to_owned()]).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
        for told in ["a place: ", "have schema 1", "needs schema 2", "`PostgresOptions::schema_sql_from(1)`"] {
            assert!(error.to_string().contains(told), "{error}");
        }
    }

    #[test]
    fn the_tables_that_statements_create_are_found() {
        let statements =
            ["CREATE TABLE t_meta (key TEXT)", "CREATE TABLE IF NOT EXISTS t_jobs (\n a); CREATE TABLE t_runs(b)"];
        assert_eq!(created_tables(&statements.map(str::to_owned)), ["t_meta", "t_jobs", "t_runs"]);
    }
}
