//! A Quartz expression, read, bound and written out.
#![no_main]

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use scheduler_core::{Trigger, trigger::Cron};

fuzz_target!(|text: &str| {
    if let Ok(cron) = Cron::quartz(text) {
        let trigger = Trigger::from(cron);
        assert_eq!(trigger.to_string().parse::<Trigger>().as_ref(), Ok(&trigger));
        trigger.describe();
        trigger.lint();
        let bound = trigger.clone().bind(DateTime::UNIX_EPOCH, chrono_tz::UTC, text);
        assert!(bound.is_same_as_written(&trigger));
        bound.describe();
    }
});
