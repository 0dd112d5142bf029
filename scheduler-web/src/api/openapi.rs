//! The document that describes the API, written from the table of its paths and from the schemas of what it answers.

use serde_json::{Map, Value, json};

use super::routes::{Endpoint, ROWS, Row};

/// The forms of what is answered, and of bodies. Tests hold them to answers.
const SCHEMAS: &str = include_str!("schemas.json");

/// OpenAPI 3.1.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for row in ROWS {
        let path = paths.entry(row.path).or_insert_with(|| json!({}));
        path[row.method.as_str().to_ascii_lowercase()] = operation(row);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "apscheduler",
            "version": "1",
            "description": "The jobs of a scheduler, and what becomes of them. Times are in UTC, as in RFC 3339.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        // Relative to the address of this document.
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {"schemas": schemas()},
    })
}

fn schemas() -> Value {
    serde_json::from_str(SCHEMAS).expect("the schemas in the program are JSON, as a test shows")
}

fn operation(row: &Row) -> Value {
    let in_path = row.captures().map(|name| parameter(name, "path"));
    let in_query = row.query().into_iter().map(|name| parameter(name, "query"));
    let mut described = json!({
        "operationId": snake_case(row.endpoint),
        "summary": summary(row.endpoint),
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": responses(row),
    });
    if let Some(operation) = row.operation {
        described["x-operation"] = json!(operation);
        described["x-kind"] = json!(operation.kind());
    }
    if !row.body.is_empty() {
        described["requestBody"] = json!({
            "required": !matches!(row.endpoint, Endpoint::PauseJob | Endpoint::PauseJobs),
            "content": {"application/json": {"schema": schema_of_body(row)}},
        });
    }
    described
}

/// The name of an endpoint as operations are named.
fn snake_case(endpoint: Endpoint) -> String {
    let mut name = String::new();
    for letter in format!("{endpoint:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

fn parameter(name: &str, place: &str) -> Value {
    let mut parameter = json!({
        "name": name,
        "in": place,
        "description": meaning(name),
        "schema": schema_of(name),
    });
    let is_needed = place == "path" || ["trigger", "at"].contains(&name);
    parameter["required"] = json!(is_needed);
    parameter
}

fn schema_of_body(row: &Row) -> Value {
    let mut properties = Map::new();
    for name in row.body {
        let mut schema = schema_of(name);
        schema["description"] = json!(meaning(name));
        properties.insert((*name).to_owned(), schema);
    }
    let needed: &[&str] = match row.endpoint {
        Endpoint::AddJob => &["task"],
        Endpoint::RescheduleJob | Endpoint::RescheduleJobs => &["trigger"],
        _ => &[],
    };
    json!({"type": "object", "properties": properties, "required": needed, "additionalProperties": false})
}

fn responses(row: &Row) -> Value {
    let problem = json!({
        "description": "It was not done; the body says why.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    let mut responses = json!({"default": problem});
    let (status, schema) = answer(row.endpoint);
    responses[status] = match schema {
        None if row.endpoint == Endpoint::WatchChanges => json!({
            "description": "Server-sent events: `change`, whenever something has changed on this node. It ends with the scheduler.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }),
        Some(name) => json!({
            "description": "It is done.",
            "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{name}")}}},
        }),
        None => json!({"description": "It is done."}),
    };
    responses
}

/// With which status and schema an endpoint answers.
pub(super) fn answer(endpoint: Endpoint) -> (&'static str, Option<&'static str>) {
    match endpoint {
        Endpoint::OpenApi => ("200", Some("Document")),
        Endpoint::Operations => ("200", Some("Operations")),
        Endpoint::ListJobs => ("200", Some("Jobs")),
        Endpoint::AddJob => ("201", Some("Job")),
        Endpoint::CountJobs => ("200", Some("Counts")),
        Endpoint::ReadJob => ("200", Some("JobDetail")),
        Endpoint::ChangeJob | Endpoint::PauseJob | Endpoint::ResumeJob | Endpoint::RescheduleJob => {
            ("200", Some("Job"))
        }
        Endpoint::RemoveJob | Endpoint::RemovePutAside => ("204", None),
        Endpoint::RunJob => ("202", Some("RunId")),
        Endpoint::RunJobs
        | Endpoint::PauseJobs
        | Endpoint::ResumeJobs
        | Endpoint::RescheduleJobs
        | Endpoint::RemoveJobs => ("200", Some("Group")),
        Endpoint::ExplainJob => ("200", Some("Explanation")),
        Endpoint::JobRuns | Endpoint::ReadRuns => ("200", Some("Runs")),
        Endpoint::CancelRun => ("202", None),
        Endpoint::ReadUpcoming => ("200", Some("Upcoming")),
        Endpoint::PreviewTrigger => ("200", Some("Preview")),
        Endpoint::ReadNodes => ("200", Some("Nodes")),
        Endpoint::ReadPutAside => ("200", Some("PutAside")),
        Endpoint::WatchChanges => ("200", None),
    }
}

fn summary(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::OpenApi => "This document.",
        Endpoint::Operations => "The operations, and which of them this login may use.",
        Endpoint::ListJobs => "Searches jobs, a page at a time.",
        Endpoint::AddJob => "Adds a job of a registered task.",
        Endpoint::CountJobs => "Counts jobs by their states.",
        Endpoint::ReadJob => "Shows a job and its next fire times.",
        Endpoint::ChangeJob => "Changes what a job runs; what is not given stays.",
        Endpoint::RemoveJob => "Removes a job. Its running runs go on to their end.",
        Endpoint::RunJob => "Runs a job once, now, beside its fire times, which stay as they are.",
        Endpoint::PauseJob => "Keeps a job from firing until it is resumed, or until a time.",
        Endpoint::ResumeJob => "Lets a job fire again, from its next fire time on.",
        Endpoint::RescheduleJob => "Gives a job another trigger.",
        Endpoint::RunJobs => "Runs each job that the filter means once, now.",
        Endpoint::PauseJobs => "Pauses the active jobs that the filter means.",
        Endpoint::ResumeJobs => "Resumes the paused jobs that the filter means.",
        Endpoint::RescheduleJobs => "Gives the jobs that the filter means another trigger.",
        Endpoint::RemoveJobs => "Removes the jobs that the filter means.",
        Endpoint::ExplainJob => "Says why a job did, did not, or will (not) run at a time.",
        Endpoint::JobRuns => "Searches the runs of a job, newest first.",
        Endpoint::CancelRun => "Asks a run to stop. How it ends is among the runs.",
        Endpoint::ReadUpcoming => "Shows what runs in the coming hours, over all jobs.",
        Endpoint::PreviewTrigger => "Shows when a job would run with a trigger. Nothing changes.",
        Endpoint::ReadRuns => "Searches the runs of all jobs, newest first.",
        Endpoint::ReadNodes => "Shows the health of the scheduler and its stores, and the nodes.",
        Endpoint::ReadPutAside => "Shows the jobs that are put aside, with their reasons.",
        Endpoint::WatchChanges => "Tells whenever something has changed, so that it is read anew.",
        Endpoint::RemovePutAside => "Removes a job that is put aside.",
    }
}

/// What an argument means.
pub(super) fn meaning(name: &str) -> &'static str {
    match name {
        "id" => "The id of a job.",
        "store" => "The store; of a job, the first one that has it if none is given.",
        "task" => "The name of a task.",
        "args" => "What the task is called with. It has to fit the task.",
        "trigger" => {
            "When the job runs, as triggers are displayed: `every 10s`, `crontab 0 9 * * mon-fri in Europe/Berlin`, `date 2027-01-01T00:00:00Z`. A job that is added without one runs at once."
        }
        "name" => "A name for people.",
        "executor" => "The name of an executor.",
        "tags" => "The tags of the job.",
        "paused" => "Whether the job is added without firing before it is resumed.",
        "note" => "Why.",
        "until" => "The end: of a pause, when the job goes on by itself; of runs, before which their fire times are.",
        "since" => "The earliest fire time.",
        "at" => "The time that is asked about.",
        "run" => "The id of a run.",
        "text" => "A part of the id, the name, the task or a tag.",
        "id_prefix" => "How the id begins.",
        "tag" => "A tag that the job has. It can be given several times.",
        "state" => "How far the job or the run is.",
        "verdict" => "How the run ended.",
        "node" => "The node that runs it, or ran it last.",
        "all" => "`true` for all jobs, if there is no filter.",
        "order" => "In which order.",
        "limit" => {
            "The most entries that are answered, 1 to 200; 50 if not given. There may be fewer, though others follow."
        }
        "cursor" => "Where the page begins: `next` of the one before it.",
        "hours" => "How many hours ahead, 1 to 168; 24 if not given.",
        "fire_times" => "How many fire times are answered, 1 to 100; 10 if not given.",
        _ => "",
    }
}

fn schema_of(name: &str) -> Value {
    match name {
        "at" | "since" | "until" => json!({"type": "string", "format": "date-time"}),
        "limit" | "hours" | "fire_times" => json!({"type": "integer", "minimum": 1}),
        "tags" => json!({"type": "array", "items": {"type": "string"}}),
        "tag" => json!({"type": "array", "items": {"type": "string"}}),
        "paused" | "all" => json!({"type": "boolean"}),
        "args" => json!({}),
        "order" => json!({"type": "string", "enum": ["next_fire_time", "id"]}),
        _ => json!({"type": "string"}),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::operation::Operation;

    #[test]
    fn the_document_has_each_route_and_no_other() {
        let document = document();
        let mut described = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                described.push((method.to_ascii_uppercase(), path.clone()));
                for parameter in operation["parameters"].as_array().unwrap() {
                    let described = parameter["description"].as_str().unwrap();
                    assert!(!described.is_empty(), "{path}: `{}` is not described", parameter["name"]);
                }
            }
        }
        let mut routes: Vec<_> = ROWS.iter().map(|row| (row.method.to_string(), row.path.to_owned())).collect();
        described.sort();
        routes.sort();
        assert_eq!(described, routes);
    }

    #[test]
    fn each_schema_that_is_named_is_there() {
        let document = document().to_string();
        let names = document.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
        let schemas = schemas();
        for name in names {
            assert!(schemas[name].is_object(), "{name}");
        }
        assert!(schemas["Problem"].is_object());
    }

    #[test]
    fn each_argument_of_each_operation_is_described() {
        for operation in Operation::ALL {
            for argument in operation.arguments() {
                assert!(!meaning(argument).is_empty(), "{operation}: {argument}");
            }
        }
        assert_eq!(ROWS.iter().filter(|row| row.method == Method::GET).count(), 13);
    }
}
