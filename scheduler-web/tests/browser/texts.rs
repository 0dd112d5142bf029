//! No text of a job becomes a part of a page.

use serde_json::json;

use crate::{
    chromium::Chromium,
    stage::{Mount, Stage},
};

/// The queries of all pages, of jobs whose ids end with this text.
fn pages(text: &str) -> Vec<String> {
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    [
        "?page=now",
        "?page=upcoming",
        "?page=jobs",
        "?page=jobs&text=TEXT&task=TEXT&tag=TEXT",
        "?page=job&id=hourly",
        "?page=job&id=letters",
        "?page=job&id=charge%20TEXT",
        "?page=job&id=charge%20TEXT&trigger=TEXT&at=TEXT",
        "?page=job&id=ferry%20TEXT",
        "?page=runs",
        "?page=runs&id=TEXT&task=TEXT&node=TEXT",
        "?page=runs&since=TEXT",
        "?page=put-aside",
        "?page=nodes",
        "?page=TEXT&done=TEXT",
    ]
    .map(|query| query.replace("TEXT", &encoded))
    .to_vec()
}

/// How often each element is there, and the names of all attributes.
const ELEMENTS: &str = "(() => {
    const count = {};
    for (const it of document.querySelectorAll('*')) {
        for (const name of [it.tagName, ...it.getAttributeNames()]) count[name] = (count[name] || 0) + 1;
    }
    return count;
})()";

#[test]
fn no_text_of_a_job_becomes_an_element_or_an_attribute() {
    let mut browser = Chromium::start();
    let mut elements = |text: &str| {
        let stage = Stage::new(Mount::Root, text);
        let found = pages(text).into_iter().map(|query| {
            stage.open(&mut browser, &query);
            let shown = browser.text("document.documentElement.textContent + document.title");
            (browser.value(ELEMENTS), shown.contains(text))
        });
        let found: Vec<_> = found.collect();
        let complaints: Vec<_> =
            browser.complaints().into_iter().filter(|it| !it.contains("Failed to load resource")).collect();
        assert_eq!(complaints, [""; 0], "{text}");
        assert_eq!(browser.value("window.isBroken === undefined"), json!(true));
        found
    };
    let benign = elements("benign");
    for hostile in [
        "<script>window.isBroken = 1</script>",
        "\"><img src=x onerror=window.isBroken=1>",
        "' autofocus onfocus='window.isBroken=1",
        "</title></textarea></pre><b>",
    ] {
        let found = elements(hostile);
        for (query, (is, was)) in pages(hostile).iter().zip(found.iter().zip(&benign)) {
            assert_eq!(is, was, "{query}");
        }
    }
}
