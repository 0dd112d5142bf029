//! What a request has to be before anything is asked of the scheduler: from this site, and for a name of this host.

use std::net::IpAddr;

use http::{HeaderMap, Method, StatusCode, header, request::Parts};

use crate::problem::Problem;

/// The longest path and query that is read.
pub(crate) const TARGET_LIMIT: usize = 8 * 1024;

/// Refuses an address that is too long.
pub(crate) fn check_length(request: &Parts) -> Result<(), Problem> {
    let length = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length <= TARGET_LIMIT {
        return Ok(());
    }
    let detail = format!("an address may have {TARGET_LIMIT} bytes, not {length}");
    Err(Problem::new(StatusCode::URI_TOO_LONG, "too_large", detail))
}

/// Refuses a change that a page of another site asks for through the browser of a user who is signed in here.
///
/// Browsers name the origin of such a request. A client that names none is not a browser, and does not send a user's login by itself.
pub(crate) fn check_site(request: &Parts) -> Result<(), Problem> {
    if request.method.is_safe() {
        return Ok(());
    }
    let of_this_site = match text(&request.headers, "sec-fetch-site") {
        Some(site) => matches!(site, "same-origin" | "none"),
        None => match request.headers.get(header::ORIGIN) {
            None => true,
            Some(origin) => {
                let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
                origin.is_some_and(|(_, origin)| host(request).is_some_and(|host| host.eq_ignore_ascii_case(origin)))
            }
        },
    };
    if of_this_site {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", "a change has to be asked for by a page of this site"))
}

/// Refuses a request for a name that may be of another site, whose owner lets it lead here.
///
/// Without this, such a site would be the same origin as a dashboard without login. An IP address and the names of the loopback cannot be
/// led elsewhere; others are those that the program has named.
pub(crate) fn check_host(request: &Parts, named: &[String]) -> Result<(), Problem> {
    let asked = host(request).unwrap_or_default();
    let name = without_port(asked);
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let is_loopback = name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost");
    if is_address || is_loopback || named.iter().any(|it| it.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let detail =
        "this dashboard has no login, and does not go by this name; its program can allow it by `Dashboard::host`";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", detail))
}

/// The host and port that were asked for.
fn host(request: &Parts) -> Option<&str> {
    let named = request.uri.authority().map(http::uri::Authority::as_str);
    named.or_else(|| text(&request.headers, header::HOST.as_str()))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The methods of what changes nothing.
pub(crate) const READING: &[Method] = &[Method::GET, Method::HEAD, Method::OPTIONS];

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(method: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_change_is_done_for_this_site_alone() {
        let host = ("host", "jobs.example.com");
        for (headers, is_done) in [
            (vec![host, ("sec-fetch-site", "same-origin")], true),
            (vec![host, ("sec-fetch-site", "none")], true),
            (vec![host, ("sec-fetch-site", "same-site")], false),
            (vec![host, ("sec-fetch-site", "cross-site"), ("origin", "https://jobs.example.com")], false),
            (vec![host, ("origin", "https://jobs.example.com")], true),
            (vec![host, ("origin", "https://evil.example.com")], false),
            (vec![host, ("origin", "null")], false),
            (vec![("origin", "https://jobs.example.com")], false),
            (vec![host], true),
        ] {
            assert_eq!(check_site(&request("POST", &headers)).is_ok(), is_done, "{headers:?}");
            check_site(&request("GET", &headers)).unwrap();
        }
    }

    #[test]
    fn without_a_login_a_name_has_to_be_one_of_this_host() {
        let named = ["jobs.internal".to_owned()];
        for (host, is_ours) in [
            ("localhost:8080", true),
            ("a.localhost", true),
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("192.168.1.7", true),
            ("Jobs.Internal:80", true),
            ("rebound.example.com", false),
            ("127.0.0.1.example.com", false),
            ("localhost.example.com", false),
            ("", false),
        ] {
            assert_eq!(check_host(&request("GET", &[("host", host)]), &named).is_ok(), is_ours, "{host}");
        }
        assert!(check_host(&request("GET", &[]), &named).is_err());
    }
}
