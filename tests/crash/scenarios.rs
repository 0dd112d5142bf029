//! One body for each promise.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use apscheduler::{RunState, Verdict, Wait};
use rustix::process::Signal;

use crate::{
    child::{Child, HELD, KEY, LASTING, Part, SHARING, SHARING_PERIOD},
    log::Line,
    stage::{Random, Stage, wait_a_random_while},
    test_store::Contents,
};

/// Short, so that takeovers happen all the time; long enough for a node that is not stopped to keep it.
const LEASE: Duration = Duration::from_millis(400);

pub(crate) fn after_crashes_of_one_node_all_is_accounted_for(stage: &Stage) {
    crash(stage, 1, 16);
}

pub(crate) fn after_crashes_of_two_nodes_all_is_accounted_for(stage: &Stage) {
    crash(stage, 2, 24);
}

pub(crate) fn after_crashes_of_four_nodes_all_is_accounted_for(stage: &Stage) {
    crash(stage, 4, 32);
}

/// Nodes run jobs, and one after the other is killed and replaced. Then all are, and one brings it to an end.
fn crash(stage: &Stage, nodes: usize, crashes: usize) {
    let mut random = Random(0x5eed_0001);
    let mut children: Vec<Child> = (0..nodes).map(|_| stage.start(Part::Work, LEASE)).collect();
    for _ in 0..crashes {
        // Sometimes before the last one has connected, sometimes after it has taken over what was left to it.
        match random.below(3) {
            0 => wait_a_random_while(Duration::from_millis(random.below(200))),
            _ => stage.log.wait_to_grow(random.below(40)),
        }
        let victim = random.below(nodes as u64) as usize;
        children[victim].signal(Signal::KILL);
        children[victim] = stage.start(Part::Work, LEASE);
    }
    children.iter().for_each(|child| child.signal(Signal::KILL));
    drop(children);
    stage.start(Part::Finish, LEASE).wait();

    let (contents, lines) = (stage.contents(), stage.log.read());
    assert_eq!(contents.ids(), LASTING.map(|(id, _)| id), "the one-shots are gone, the others are there");
    assert_each_fire_time_has_one_verdict(&contents);
    assert_no_run_is_doubled(&lines);
    assert_runs_have_rows(&contents, &lines);
    assert_nothing_is_lost(&contents, &lines);

    // The crashes were such that there was something to lose.
    assert!(lines.iter().any(|line| line.what == "added"), "no one-shot was added");
    assert!(lines.iter().any(|line| line.attempt > 1), "nothing was taken over");
    let fire_times: u64 = LASTING.iter().map(|(id, _)| contents.of(id).0.totals.sum()).sum();
    assert!(fire_times > 500, "{fire_times} fire times are few");
}

fn assert_each_fire_time_has_one_verdict(contents: &Contents) {
    for (id, period) in LASTING {
        contents.assert_tiles(id, period);
    }
}

/// No attempt is started twice, no run again after its end was confirmed, and none at most once is repeated.
fn assert_no_run_is_doubled(lines: &[Line]) {
    let mut attempts = BTreeSet::new();
    let mut ended = BTreeSet::new();
    for line in lines.iter().filter(|line| line.seq > 0) {
        let run = (&line.uid, line.seq);
        match line.what.as_str() {
            "start" => {
                assert!(attempts.insert((run, line.attempt)), "{line:?} was started twice");
                assert!(!ended.contains(&run), "{line:?} had ended");
                assert!(line.job != "at-most-once" || line.attempt == 1, "{line:?}");
            }
            "executed" => assert!(ended.insert(run), "{line:?} ended twice"),
            _ => {}
        }
    }
}

/// Each run that was started has its row, with the same fire time.
fn assert_runs_have_rows(contents: &Contents, lines: &[Line]) {
    let all: BTreeMap<_, _> = LASTING.iter().map(|(id, _)| (*id, contents.of(id).1)).collect();
    for line in starts(lines).filter(|line| all.contains_key(&*line.job)) {
        let run = all[&*line.job].get(&line.seq).unwrap_or_else(|| panic!("{line:?} has no row"));
        assert_eq!(run.fire_time.timestamp_micros(), line.fire_time, "{line:?}");
    }
}

/// Each one-shot whose adding was confirmed has run, and so has each fire time of the job that gives none up.
fn assert_nothing_is_lost(contents: &Contents, lines: &[Line]) {
    let started: BTreeSet<_> = starts(lines).map(|line| &*line.job).collect();
    for line in lines.iter().filter(|line| line.what == "added") {
        assert!(started.contains(&*line.job), "{line:?} never ran");
    }
    let ran: BTreeSet<_> = starts(lines).filter(|line| line.job == "every-one").map(|line| line.seq).collect();
    for (seq, run) in contents.of("every-one").1 {
        if run.is_open() {
            continue;
        }
        // Each process that had it may have been killed; after three takeovers that is its end.
        let is_given_up = run.verdict() == Some(Verdict::Lost) && run.takeovers > 3;
        assert!(run.verdict() == Some(Verdict::Ok) || is_given_up, "{run:?}");
        assert_eq!(run.first, None, "{run:?}");
        assert!(ran.contains(&seq), "{run:?} never ran");
    }
}

pub(crate) fn two_processes_never_run_a_fire_time_twice(stage: &Stage) {
    let lease = Duration::from_secs(15);
    let children = [stage.start(Part::Work, lease), stage.start(Part::Work, lease)];

    stage.log.wait_for("both processes have run jobs", |lines| {
        children.iter().all(|child| starts(lines).filter(|line| line.pid == child.id()).count() >= 100)
    });
    for child in children {
        child.release_and_end();
    }

    let lines = stage.log.read();
    let mut fire_times = BTreeSet::new();
    for line in starts(&lines) {
        assert_eq!(line.attempt, 1, "{line:?}");
        assert!(fire_times.insert((&line.job, line.fire_time)), "{line:?} was run twice");
    }
    let contents = stage.contents();
    assert_each_fire_time_has_one_verdict(&contents);
    for (id, _) in LASTING {
        let ran = contents.of(id).1.values().filter(|run| run.verdict() == Some(Verdict::Ok)).count();
        assert_eq!(ran, starts(&lines).filter(|line| line.job == id).count(), "job {id}");
    }
}

pub(crate) fn a_process_that_is_asked_to_end_gives_its_runs_to_another_at_once(stage: &Stage) {
    // Longer than the test waits for anything.
    let lease = Duration::from_secs(60);
    let old = stage.start(Part::Serve, lease);
    let is_held_by =
        |lines: &[Line], pid| HELD.iter().all(|id| starts(lines).any(|line| line.job == *id && line.pid == pid));
    stage.log.wait_for("the old process runs what it holds", |lines| is_held_by(lines, old.id()));
    let mut new = stage.start(Part::Serve, lease);
    // On a busy machine it may get none of the jobs that are always due before the old one ends.
    stage.log.wait_for("the new process serves", |lines| {
        lines.iter().any(|line| line.what == "serves" && line.pid == new.id())
    });

    let old_pid = old.id();
    old.signal(Signal::TERM);
    old.wait();
    stage.log.wait_for("the new process runs what the old one has given back", |lines| is_held_by(lines, new.id()));
    let begun = starts(&stage.log.read()).count();
    stage.log.wait_for("it carries on with the rest", |lines| starts(lines).count() >= begun + 100);
    new.release();
    stage.log.wait_for("it ends what it was given", |lines| {
        HELD.iter().all(|id| lines.iter().any(|line| line.what == "executed" && line.job == *id))
    });
    new.release_and_end();

    let (contents, lines) = (stage.contents(), stage.log.read());
    assert_each_fire_time_has_one_verdict(&contents);
    for id in HELD {
        let run = contents.of(id).1.into_values().collect::<Vec<_>>();
        let [run] = &run[..] else { panic!("job {id}: {run:?}") };
        assert_eq!((run.verdict(), run.attempt, run.takeovers), (Some(Verdict::Ok), 1, 0));
        assert_eq!(starts(&lines).filter(|line| line.job == id).count(), 2, "once in each process");
        let given_back = |line: &&Line| line.what == "given-back" && line.job == id && line.pid == old_pid;
        assert_eq!(lines.iter().filter(given_back).count(), 1, "job {id}");
    }
    let mut fire_times = BTreeSet::new();
    for line in starts(&lines).filter(|line| !HELD.contains(&&*line.job)) {
        assert!(fire_times.insert((&line.job, line.fire_time)), "{line:?} was run twice");
    }
    for (id, _) in LASTING {
        let runs = contents.of(id).1;
        let ran = runs.values().filter(|run| run.verdict() == Some(Verdict::Ok)).count();
        assert_eq!(ran, starts(&lines).filter(|line| line.job == id).count(), "job {id}");
        let ended = runs.values().filter_map(|run| run.verdict());
        let others: Vec<Verdict> =
            ended.filter(|verdict| !matches!(verdict, Verdict::Ok | Verdict::Coalesced | Verdict::Skipped)).collect();
        assert_eq!(others, [], "job {id}");
    }
}

pub(crate) fn a_process_that_was_stopped_past_its_lease_cannot_record_what_was_taken_over(stage: &Stage) {
    // The other process is to keep its own lease until the test has looked.
    let lease = Duration::from_secs(2);
    let mut stopped = stage.start(Part::Hold, lease);
    stage.log.wait_for("the first process runs the job", |lines| starts(lines).next().is_some());

    stage.while_nobody_writes(|| stopped.signal(Signal::STOP));
    let mut other = stage.start(Part::Hold, lease);
    stage.log.wait_for("the other process takes the run over", |lines| {
        starts(lines).any(|line| line.attempt == 2 && line.pid == other.id())
    });
    // The task of the first one is ready to end when the process goes on.
    stopped.release();
    stopped.signal(Signal::CONT);
    let told = |lines: &[Line], what: &str, pid| lines.iter().any(|line| line.what == what && line.pid == pid);
    stage.log.wait_for("the first process learns of it", |lines| told(lines, "taken-away", stopped.id()));
    let contents = stage.contents();
    let [run] = &contents.jobs[0].1[..] else { panic!("{contents:?}") };
    assert_eq!((run.state, run.attempt), (RunState::Running, 2));
    other.release();
    stage.log.wait_for("the other process ends the run", |lines| told(lines, "executed", other.id()));
    stopped.release_and_end();
    other.release_and_end();

    let (contents, lines) = (stage.contents(), stage.log.read());
    let [run] = &contents.jobs[0].1[..] else { panic!("{contents:?}") };
    assert_eq!((run.verdict(), run.attempt, run.takeovers), (Some(Verdict::Ok), 2, 1));
    assert_no_run_is_doubled(&lines);
}

pub(crate) fn no_more_runs_than_the_limit_are_running_whichever_process_is_killed(stage: &Stage) {
    const LIMIT: usize = 2;
    // Long enough for a process that is not killed to keep it, also on a busy machine.
    let lease = Duration::from_secs(1);
    stage.set_limit(KEY, LIMIT as u32);
    let mut random = Random(0x5eed_0002);
    let mut children = [stage.start(Part::Share, lease), stage.start(Part::Share, lease)];
    for _ in 0..6 {
        // The places of those that were killed are free again in between, or else nothing would happen any more.
        stage.log.wait_to_grow(random.below(60));
        let victim = random.below(2) as usize;
        stage.kill(&children[victim]);
        children[victim] = stage.start(Part::Share, lease);
    }
    children.iter().for_each(|child| stage.kill(child));
    drop(children);
    let last = stage.start(Part::Share, lease);
    stage.log.wait_for("each job runs in the last process", |lines| {
        SHARING.iter().all(|id| ends(lines).any(|line| line.job == *id && line.pid == last.id()))
    });
    last.release_and_end();
    // What the killed ones have left may have waited for a place all that time. This one ends when none of it is left.
    stage.start(Part::Finish, lease).wait();

    let (contents, lines) = (stage.contents(), stage.log.read());
    let at_once = most_at_once(&lines);
    assert_eq!(at_once.len(), LIMIT, "so many may run, and so many did: {at_once:#?}");
    assert!(lines.iter().any(|line| line.attempt > 1), "nothing was taken over");
    assert_no_run_is_doubled(&lines);
    let ended: BTreeSet<_> = ends(&lines).map(|line| (&*line.job, line.seq)).collect();
    for id in SHARING {
        contents.assert_tiles(id, SHARING_PERIOD);
        for (seq, run) in contents.of(id).1 {
            // What the last processes had not started when they ended is given back.
            let is_left = run.is_open() && run.state != RunState::Waiting(Wait::Released);
            assert!(!is_left, "{run:?} is left");
            assert!(run.verdict() != Some(Verdict::Ok) || ended.contains(&(id, seq)), "{run:?} never ran to its end");
        }
    }
}

pub(crate) fn the_place_of_a_process_that_is_killed_is_free_after_its_lease(stage: &Stage) {
    let lease = Duration::from_secs(2);
    stage.set_limit(KEY, 1);
    let held = |lines: &[Line], pid| starts(lines).filter(|line| HELD.contains(&&*line.job) && line.pid == pid).count();
    let old = stage.start(Part::HoldPlaces, lease);
    stage.log.wait_for("a job has the only place", |lines| held(lines, old.id()) > 0);
    let mut new = stage.start(Part::HoldPlaces, lease);
    stage.log.wait_for("the new process serves", |lines| {
        lines.iter().any(|line| line.what == "serves" && line.pid == new.id())
    });
    let others = |lines: &[Line]| starts(lines).filter(|line| !HELD.contains(&&*line.job)).count();
    let begun = others(&stage.log.read());
    stage.log.wait_for("jobs without the key are not held up", |lines| others(lines) >= begun + 60);
    assert_eq!(held(&stage.log.read(), new.id()), 0, "the place is taken");

    stage.kill(&old);
    stage.log.wait_for("a job has the place at the new process", |lines| held(lines, new.id()) > 0);
    new.release();
    stage.log.wait_for("each of the others has it after that", |lines| {
        HELD.iter().all(|id| lines.iter().any(|line| line.what == "executed" && line.job == *id))
    });
    new.release_and_end();

    let (contents, lines) = (stage.contents(), stage.log.read());
    assert_each_fire_time_has_one_verdict(&contents);
    assert_no_run_is_doubled(&lines);
    assert_eq!(most_at_once(&lines).len(), 1);
    for id in HELD {
        let run = contents.of(id).1.into_values().collect::<Vec<_>>();
        let [run] = &run[..] else { panic!("job {id}: {run:?}") };
        assert_eq!(run.verdict(), Some(Verdict::Ok), "job {id}");
    }
}

/// The starts of the runs of jobs with the key that were running at once in all processes, where these were most.
///
/// Each line is written while its run is running, so that their order in the log is one in which things happened.
fn most_at_once(lines: &[Line]) -> Vec<&Line> {
    let attempt = |line: &Line| (line.uid.clone(), line.seq, line.attempt);
    // A process that got no time to keep its lease goes on until it learns that its runs are another's.
    let taken_away: BTreeSet<_> = lines.iter().filter(|line| line.what == "taken-away").map(attempt).collect();
    let is_limited = |line: &Line| SHARING.contains(&&*line.job) || HELD.contains(&&*line.job);
    let (mut running, mut killed, mut most) = (BTreeMap::<_, &Line>::new(), BTreeSet::new(), Vec::new());
    for line in lines {
        match line.what.as_str() {
            // One may begin in a process between the line that it is killed and its death: nobody writes of its end.
            "start" if is_limited(line) && !taken_away.contains(&attempt(line)) && !killed.contains(&line.pid) => {
                running.insert(attempt(line), line);
                if running.len() > most.len() {
                    most = running.values().copied().collect();
                }
            }
            "end" => drop(running.remove(&attempt(line))),
            "killed" => {
                killed.insert(line.pid);
                running.retain(|_, start| start.pid != line.pid);
            }
            _ => {}
        }
    }
    most
}

fn starts(lines: &[Line]) -> impl Iterator<Item = &Line> {
    lines.iter().filter(|line| line.what == "start")
}

fn ends(lines: &[Line]) -> impl Iterator<Item = &Line> {
    lines.iter().filter(|line| line.what == "end")
}
