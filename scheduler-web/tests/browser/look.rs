//! What the pages look like: nothing is wider than the window, and axe-core finds nothing to complain of.

use std::{fs, path::Path};

use crate::{
    chromium::Chromium,
    stage::{Mount, Stage},
};

const PAGES: [(&str, &str); 9] = [
    ("now", ""),
    ("upcoming", "?page=upcoming"),
    ("jobs", "?page=jobs"),
    ("job", "?page=job&id=charge%20%E2%82%AC&trigger=every%2015m&at=2026-01-01%2008:30"),
    ("add", "?page=add"),
    ("runs", "?page=runs"),
    ("put-aside", "?page=put-aside"),
    ("nodes", "?page=nodes"),
    ("problem", "?page=job&id=none"),
];

const WIDTHS: [u32; 3] = [360, 1280, 2560];

#[test]
fn the_pages_fit_and_are_accessible_in_light_colours() {
    they_fit_and_are_accessible("light");
}

#[test]
fn the_pages_fit_and_are_accessible_in_dark_colours() {
    they_fit_and_are_accessible("dark");
}

fn they_fit_and_are_accessible(colours: &str) {
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
    fs::create_dir_all(&pictures).unwrap();
    let stage = Stage::new(Mount::Root, "€");
    let mut browser = Chromium::start();
    let mut findings = Vec::new();
    for (name, query) in PAGES {
        stage.open(&mut browser, query);
        for width in WIDTHS {
            browser.look(width, colours);
            let wide = browser.value("document.documentElement.scrollWidth");
            if wide.as_u64().unwrap() > u64::from(width) {
                findings.push(format!("{name} at {width}: it is {wide} pixels wide"));
            }
            browser.picture(&pictures.join(format!("{name}-{width}-{colours}.png")));
            if width < 2_000 {
                findings.extend(browser.findings_of_axe().into_iter().map(|it| format!("{name} at {width}: {it}")));
            }
        }
    }
    assert_eq!(findings, [""; 0]);
}
