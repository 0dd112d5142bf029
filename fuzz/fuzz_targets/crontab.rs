//! What stands in a crontab, read, bound, described, checked and written out.
#![no_main]

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use scheduler_core::Trigger;

fuzz_target!(|text: &str| {
    if let Ok(trigger) = Trigger::crontab(text) {
        assert_eq!(trigger.to_string().parse::<Trigger>().as_ref(), Ok(&trigger));
        trigger.describe();
        trigger.lint();
        let bound = trigger.clone().bind(DateTime::UNIX_EPOCH, chrono_tz::UTC, text);
        assert!(bound.is_same_as_written(&trigger));
        bound.describe();
        let json = serde_json::to_string(&bound).expect("each trigger can be persisted");
        assert_eq!(serde_json::from_str::<Trigger>(&json).expect("what was persisted is read"), bound);
    }
});
