//! Each page is reached and each operation is done by who clicks, with and without scripts, wherever the dashboard is mounted.

use scheduler_core::{JobSpec, store::JobFilter, trigger::Interval};

use crate::{
    chromium::{Chromium, Scripts},
    stage::{Mount, Stage},
};

#[test]
fn all_of_it_works_at_the_root_of_a_server() {
    all_of_it_works(Mount::Root);
}

#[test]
fn all_of_it_works_below_a_path_that_the_server_takes_off() {
    all_of_it_works(Mount::Nested);
}

#[test]
fn all_of_it_works_below_a_path_that_the_server_hands_on() {
    all_of_it_works(Mount::Whole);
}

#[test]
fn all_of_it_works_behind_a_proxy_that_takes_a_path_off() {
    all_of_it_works(Mount::Proxy);
}

fn all_of_it_works(mount: Mount) {
    let mut browser = Chromium::start();
    for scripts in [Scripts::On, Scripts::Off] {
        browser.run_scripts(scripts);
        let stage = Stage::new(mount, "");
        each_page_is_reached(&mut browser, &stage);
        many_jobs_are_steered(&mut browser, &stage);
        many_jobs_are_run_and_removed(&mut browser, &stage);
        a_wrong_trigger_is_told_beside_the_form(&mut browser, &stage);
        a_job_is_added_and_changed(&mut browser, &stage);
        a_job_is_steered(&mut browser, &stage);
        a_run_is_cancelled(&mut browser, &stage);
        what_is_put_aside_is_removed(&mut browser, &stage);
        // The next server is another one.
        browser.open("about:blank");
        assert_eq!(browser.complaints(), [""; 0], "{mount:?} {scripts:?}");
    }
}

fn heading(browser: &mut Chromium) -> String {
    browser.text("document.querySelector('h1').textContent")
}

/// What the page says about what was done.
fn notice(browser: &mut Chromium) -> String {
    browser.text("document.querySelector('main > .notice[role=status]')?.textContent")
}

fn each_page_is_reached(browser: &mut Chromium, stage: &Stage) {
    stage.open(browser, "");
    assert_eq!(heading(browser), "Now");
    // The stylesheet is there wherever the dashboard is.
    assert_eq!(browser.value("getComputedStyle(document.body).margin"), "0px");
    for (number, page) in ["Now", "Upcoming", "Jobs", "Runs", "Put aside", "Nodes and stores"].into_iter().enumerate() {
        browser.follow(&format!("nav a:nth-of-type({})", number + 1));
        assert_eq!(heading(browser), page);
        assert_eq!(browser.text("document.querySelector('nav [aria-current]').textContent"), page);
    }
    // From the list to a job, by its link.
    browser.follow("nav a:nth-of-type(3)");
    browser.write("#search", "hour");
    browser.follow("form.filter button");
    assert_eq!(browser.value("document.querySelectorAll('#list tbody tr').length"), 1);
    browser.follow("#list tbody td a[href*='page=job&']");
    assert_eq!(heading(browser), "hourly");
}

fn many_jobs_are_steered(browser: &mut Chromium, stage: &Stage) {
    stage.open(browser, "?page=jobs&order=id");
    browser.click("[name=job][value$='id=hourly']");
    browser.click("[name=job][value$='id=slow']");
    browser.follow("button[value=pause_job]");
    assert_eq!(heading(browser), "Pause 2 jobs?");
    browser.follow("button[value=pause_job]");
    assert_eq!(notice(browser), "2 jobs are paused now.");
    assert_eq!(
        (stage.state("hourly"), stage.state("slow"), stage.state("often")),
        ("paused".into(), "paused".into(), "active".into())
    );

    stage.open(browser, "?page=jobs&state=paused&tag=billing");
    browser.value("document.querySelector('[name=which]').value = 'listed'");
    browser.follow("button[value=resume_job]");
    assert_eq!(heading(browser), "Resume 1 job?");
    browser.follow("button[value=resume_job]");
    assert_eq!(notice(browser), "1 job is resumed.");
    assert_eq!(
        (stage.state("hourly"), stage.state("slow"), stage.state("letters")),
        ("active".into(), "paused".into(), "paused".into())
    );
}

fn many_jobs_are_run_and_removed(browser: &mut Chromium, stage: &Stage) {
    let add = |id: &str| {
        let job = JobSpec::new("report", Interval::days(1)).id(id).tag("many");
        stage.block_on(stage.scheduler.add_job(job)).unwrap();
    };
    let ran = |id: &str| stage.block_on(stage.scheduler.runs(id, 100)).unwrap().len();
    ["many-1", "many-2", "many-3"].into_iter().for_each(add);

    stage.open(browser, "?page=jobs&order=id&tag=many");
    browser.click("[name=job][value$='id=many-1']");
    browser.click("[name=job][value$='id=many-3']");
    browser.follow("button[value=run_job]");
    assert_eq!(heading(browser), "Run 2 jobs?");
    assert_eq!((ran("many-1"), ran("many-3")), (0, 0), "it was only asked");
    browser.follow("button[value=run_job]");
    assert_eq!(notice(browser), "2 jobs are asked to run now.");
    assert_eq!((ran("many-1"), ran("many-2"), ran("many-3")), (1, 0, 1));

    // Who is asked can go back, and nothing is done.
    browser.value("document.querySelector('[name=which]').value = 'listed'");
    browser.follow("button[value=remove_job]");
    assert_eq!(heading(browser), "Remove 3 jobs?");
    assert!(browser.text("document.querySelector('main').textContent").contains("This cannot be undone."));
    browser.follow("main form a");
    assert_eq!((heading(browser), stage.state("many-1")), ("Jobs".into(), "active".into()));

    browser.click("[name=job][value$='id=many-2']");
    browser.follow("button[value=remove_job]");
    assert_eq!(heading(browser), "Remove 1 job?");
    assert!(browser.text("document.querySelector('main li').textContent").contains("many-2"));
    browser.follow("button[value=remove_job]");
    assert_eq!(notice(browser), "1 job is removed.");
    assert_eq!((stage.state("many-1"), stage.state("many-2")), ("active".into(), "none".into()));

    browser.value("document.querySelector('[name=which]').value = 'listed'");
    browser.follow("button[value=remove_job]");
    browser.follow("button[value=remove_job]");
    assert_eq!(notice(browser), "2 jobs are removed.");
    assert_eq!((stage.state("many-1"), stage.state("many-3")), ("none".into(), "none".into()));
    assert_eq!(stage.state("hourly"), "active");
}

/// What is told beside a form, which is seen.
fn alert(browser: &mut Chromium) -> String {
    browser.text("[...document.querySelectorAll('main [role=alert]')].filter(it => it.checkVisibility()).map(it => it.textContent).join()")
}

fn a_wrong_trigger_is_told_beside_the_form(browser: &mut Chromium, stage: &Stage) {
    let wrong = "crontab 61 2 * * * in Europe/Berlin";
    let value = |browser: &mut Chromium, field: &str| browser.text(&format!("document.querySelector('{field}').value"));

    stage.open(browser, "?page=add");
    browser.write("[name=task]", "report");
    browser.write("[name=id]", "typed \"id\"");
    browser.write("[name=args]", "{\"a\":\n  1}");
    browser.write("[name=tags]", "one, two");
    browser.write("[name=trigger]", "crontab 30 2 * * *");
    browser.follow("button[value=preview]");
    // It was right when it was looked at, and is changed before it is added.
    for button in ["button[value=add_job]", "button[value=preview]"] {
        browser.write("[name=trigger]", wrong);
        browser.follow(button);
        assert_eq!(heading(browser), "Add a job");
        assert!(alert(browser).contains("61"), "{}", alert(browser));
        for (field, typed) in [
            ("[name=task]", "report"),
            ("[name=id]", "typed \"id\""),
            ("[name=args]", "{\"a\":\n  1}"),
            ("[name=tags]", "one, two"),
            ("[name=trigger]", wrong),
        ] {
            assert_eq!(value(browser, field), typed, "{button}");
        }
        assert_eq!(browser.value("document.querySelector('button[value=add_job]')"), serde_json::Value::Null);
    }
    assert_eq!(stage.state("typed \"id\""), "none");

    stage.open(browser, "?page=job&id=hourly");
    browser.click("#reschedule summary");
    browser.write("#reschedule [name=trigger]", wrong);
    browser.follow("#reschedule form[method=get] button");
    assert_eq!(heading(browser), "hourly");
    assert!(alert(browser).contains("61"), "{}", alert(browser));
    assert_eq!(value(browser, "#reschedule [name=trigger]"), wrong);
    assert_eq!(browser.value("document.querySelector('button[value=reschedule_job]')"), serde_json::Value::Null);

    browser.click("#change summary");
    browser.write("#change [name=name]", "typed name");
    browser.write("#change [name=args]", "{no json");
    browser.follow("button[value=change_job]");
    assert!(alert(browser).contains("the arguments are not JSON"), "{}", alert(browser));
    assert_eq!(value(browser, "#change [name=name]"), "typed name");
    assert_eq!(value(browser, "#change [name=args]"), "{no json");
    let job = stage.block_on(stage.scheduler.job("hourly")).unwrap().unwrap();
    assert_eq!((job.body.trigger.to_string().as_str(), job.body.name.as_deref()), ("every 1h", None));
    // The browser says of each of them that it was not done.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|it| it.contains("the server responded with a status of 422")), "{complaints:?}");
}

fn a_job_is_added_and_changed(browser: &mut Chromium, stage: &Stage) {
    stage.open(browser, "?page=jobs");
    browser.follow("a[href$='page=add']");
    browser.write("[name=task]", "report");
    browser.write("[name=id]", "added by hand");
    browser.write("[name=args]", "{\"a\": 1}");
    browser.write("[name=trigger]", "crontab 30 2 * * * in Europe/Berlin");
    browser.follow("button[value=preview]");
    assert_eq!(browser.value("document.querySelectorAll('.fire-times li').length"), 10);
    assert_eq!(stage.state("added by hand"), "none");
    browser.follow("button[value=add_job]");
    assert_eq!((heading(browser), notice(browser)), ("added by hand".into(), "The job is added.".into()));
    browser.click("#change summary");
    browser.write("#change [name=args]", "[2]");
    browser.follow("button[value=change_job]");
    let job = stage.block_on(stage.scheduler.job("added by hand")).unwrap().unwrap();
    assert_eq!(job.body.args, serde_json::json!([2]));
}

fn a_job_is_steered(browser: &mut Chromium, stage: &Stage) {
    let ran = stage.block_on(stage.scheduler.runs("hourly", 100)).unwrap().len();
    stage.open(browser, "?page=job&id=hourly");
    browser.follow("button[value=run_job]");
    assert!(notice(browser).contains("asked to run now"), "{}", notice(browser));
    assert_eq!(stage.block_on(stage.scheduler.runs("hourly", 100)).unwrap().len(), ran + 1);

    browser.click("#actions details:has([value=pause_job]) summary");
    browser.write("[name=note]", "no paper <today>");
    browser.follow("button[value=pause_job]");
    assert_eq!(notice(browser), "It is paused.");
    assert!(browser.text("document.body.innerText").contains("“no paper <today>”"));
    assert_eq!(stage.state("hourly"), "paused");
    browser.follow("button[value=resume_job]");
    assert_eq!(stage.state("hourly"), "active");

    browser.click("#reschedule summary");
    browser.write("[name=trigger]", "crontab 30 9 * * * in Europe/Berlin");
    browser.follow("#reschedule form[method=get] button");
    assert_eq!(browser.value("document.querySelectorAll('.preview .fire-times li').length"), 10);
    let trigger = || stage.block_on(stage.scheduler.job("hourly")).unwrap().unwrap().body.trigger.to_string();
    assert_eq!(trigger(), "every 1h");
    browser.follow("button[value=reschedule_job]");
    assert_eq!(trigger(), "crontab 30 9 * * * in Europe/Berlin");

    browser.write("[name=at]", "2027-01-01 08:30");
    browser.follow("#why button");
    let answer = browser.text("document.querySelector('#why .answer').textContent");
    assert!(answer.contains("2027-01-01 09:30:00 CET: it will run"), "{answer}");

    browser.click("#actions details.danger summary");
    browser.follow("button[value=remove_job]");
    assert_eq!(notice(browser), "The job is removed.");
    assert_eq!(stage.state("hourly"), "none");
}

fn a_run_is_cancelled(browser: &mut Chromium, stage: &Stage) {
    stage.open(browser, "");
    browser.follow("#running button[value=cancel_run]");
    assert!(notice(browser).contains("asked to stop"), "{}", notice(browser));
    let run = stage.block_on(stage.scheduler.runs("slow", 1)).unwrap().remove(0).id;
    let ended = stage.block_on(stage.scheduler.wait_for(run)).unwrap();
    assert_eq!(ended.verdict().unwrap().as_str(), "cancelled");
}

fn what_is_put_aside_is_removed(browser: &mut Chromium, stage: &Stage) {
    stage.open(browser, "?page=put-aside");
    browser.click("main details.danger summary");
    browser.follow("button[value=remove_put_aside]");
    assert!(browser.text("document.body.innerText").contains("Nothing is put aside."));
    assert_eq!(stage.block_on(stage.scheduler.count_jobs(JobFilter::new())).unwrap().quarantined, 0);
}

#[test]
fn a_page_keeps_up_to_date_without_a_lost_place_or_focus() {
    let stage = Stage::new(Mount::Root, "");
    let mut browser = Chromium::start();
    browser.look(800, "light");
    // What is not read every few seconds has to be told by the stream.
    browser.run_before_each_page("window.setInterval = () => 0");
    stage.open(&mut browser, "?page=jobs");
    browser.click("#search");
    browser.value("window.isTheSame = true; window.scrollTo(0, 100)");
    let place = browser.value("scrollY");

    stage.block_on(stage.scheduler.add_job(JobSpec::new("report", Interval::hours(2)).id("added"))).unwrap();
    browser.wait_for("document.querySelector('#list').textContent.includes('added')");
    assert_eq!(
        browser.value("[window.isTheSame, document.activeElement.id, scrollY]"),
        serde_json::json!([true, "search", place])
    );

    // What is in use stays as it is: here a link with the focus.
    browser.value("document.querySelector('#list tbody a').focus()");
    stage.block_on(stage.scheduler.remove_job("added")).unwrap();
    browser.wait_for("document.querySelector('#counts').textContent.startsWith('7 jobs')");
    assert_eq!(browser.value("document.activeElement.tagName"), "A");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_keys_search_and_show_the_help() {
    let stage = Stage::new(Mount::Root, "");
    let mut browser = Chromium::start();
    stage.open(&mut browser, "?page=jobs");
    browser.press("/");
    assert_eq!(
        browser.value("[document.activeElement.id, document.activeElement.value]"),
        serde_json::json!(["search", ""])
    );
    stage.open(&mut browser, "?page=nodes");
    browser.then_page(|browser| browser.press("/"));
    assert_eq!(heading(&mut browser), "Jobs");
}
