//! Links: queries, and nothing else, so that they are right wherever the dashboard is.

use form_urlencoded::Serializer;

/// A link with these parameters.
pub(super) fn to(params: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(params.iter().filter(|(_, value)| !value.is_empty()));
    format!("?{}", query.finish())
}

pub(super) fn page(name: &str) -> String {
    to(&[("page", name)])
}

pub(super) fn job(store: &str, id: &str) -> String {
    to(&[("page", "job"), ("store", store), ("id", id)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_query_whatever_the_id() {
        assert_eq!(page("jobs"), "?page=jobs");
        assert_eq!(job("default", "a/b&c=\"<x>"), "?page=job&store=default&id=a%2Fb%26c%3D%22%3Cx%3E");
        assert_eq!(to(&[("page", "jobs"), ("text", "")]), "?page=jobs");
    }
}
