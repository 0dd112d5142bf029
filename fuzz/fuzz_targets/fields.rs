//! Eight fields, separated by bars, in the dialect of APScheduler.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scheduler_core::{Trigger, trigger::Cron};

const FIELDS: [&str; 8] = ["year", "month", "day", "week", "day_of_week", "hour", "minute", "second"];

fuzz_target!(|text: &str| {
    let mut fields = Cron::fields();
    for (name, expression) in FIELDS.iter().zip(text.split('|')) {
        if !expression.is_empty() {
            fields = fields.field(name, expression).expect("a field of that name");
        }
    }
    if let Ok(cron) = fields.build() {
        let trigger = Trigger::from(cron);
        assert_eq!(trigger.to_string().parse::<Trigger>().as_ref(), Ok(&trigger));
        trigger.describe();
        trigger.lint();
    }
});
