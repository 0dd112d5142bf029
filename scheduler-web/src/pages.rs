//! The pages: the same operations as the API's, for people, with and without script.
//!
//! A page is addressed by the query alone (`?page=job&id=nightly`), and so are forms and assets. Such links are right wherever the
//! dashboard is mounted, with and without a slash at the end, and any id can be in them.

mod add;
mod forms;
mod frame;
mod groups;
mod job;
mod links;
mod lists;
mod now;
mod rows;
mod upcoming;

use askama::Template;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};

use self::frame::{Frame, Page};
use crate::{answer::Answer, calls::WatchChanges, operator::Operator, params::Params, problem::Problem};

/// What the pages can be asked for.
const METHODS: &[Method] = &[Method::GET, Method::POST, Method::HEAD, Method::OPTIONS];

pub(crate) async fn answer(operator: &Operator<'_>, title: &str, path: &str, request: &Parts, body: &[u8]) -> Answer {
    if !matches!(path, "" | "/") {
        let nothing = Problem::not_found("there is no such page");
        return failed(&Frame::new(operator, title, Page::None).below(path), &nothing);
    }
    let params = match Params::read(request.uri.query().unwrap_or_default().as_bytes()) {
        Ok(params) => params,
        Err(problem) => return failed(&Frame::new(operator, title, Page::None), &problem),
    };
    let page = Page::named(params.one("page").unwrap_or("now"));
    let frame = Frame::new(operator, title, page).with_notice(params.one("done"), params.one("count"));
    let answered = match request.method {
        Method::GET | Method::HEAD => shown(operator, &frame, &params).await,
        Method::POST => forms::answer(operator, &frame, &params, request, body).await,
        _ => return Answer::allowed(&request.method, METHODS),
    };
    answered.unwrap_or_else(|problem| failed(&frame, &problem))
}

async fn shown(operator: &Operator<'_>, frame: &Frame<'_>, params: &Params) -> Result<Answer, Problem> {
    match frame.page {
        Page::Now => now::page(operator, frame).await,
        Page::Upcoming => upcoming::page(operator, frame, params).await,
        Page::Jobs => lists::jobs(operator, frame, params).await,
        Page::Job => job::page(operator, frame, params).await,
        Page::Runs => lists::runs(operator, frame, params).await,
        Page::PutAside => lists::put_aside(operator, frame, params).await,
        Page::Nodes => lists::nodes(operator, frame).await,
        Page::Add => add::page(frame),
        Page::Changes => Ok(Answer::changes(operator.perform(WatchChanges).await?)),
        Page::None => Err(Problem::not_found("there is no such page")),
    }
}

fn rendered(status: StatusCode, template: &impl Template) -> Answer {
    match template.render() {
        Ok(html) => {
            // What is shown goes by the login, whatever kept the page.
            let vary = HeaderValue::from_static("cookie, authorization");
            Answer::new(status, "text/html; charset=utf-8", html).with(header::VARY, vary)
        }
        Err(error) => {
            let detail = format!("the page cannot be written: {error}");
            Answer::problem(&Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", detail))
        }
    }
}

fn page(template: &impl Template) -> Result<Answer, Problem> {
    Ok(rendered(StatusCode::OK, template))
}

#[derive(Template)]
#[template(path = "problem.html")]
struct Failed<'a> {
    frame: &'a Frame<'a>,
    problem: &'a Problem,
}

fn failed(frame: &Frame<'_>, problem: &Problem) -> Answer {
    rendered(problem.status, &Failed { frame, problem })
}
