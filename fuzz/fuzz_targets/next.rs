//! Any trigger from anywhere: fire times move on and lead back.
#![no_main]

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use scheduler_core::Trigger;

fuzz_target!(|input: (i64, u16, &str)| {
    let (micros, zone, text) = input;
    let Some(now) = DateTime::from_timestamp_micros(micros) else { return };
    let Ok(trigger) = text.parse::<Trigger>() else { return };
    let zones = chrono_tz::TZ_VARIANTS;
    let trigger = trigger.bind(now, zones[usize::from(zone) % zones.len()], text);
    let mut last = now;
    for fire in trigger.fires(now).take(5) {
        let Ok(fire) = fire else { return };
        assert!(fire > last);
        if let Ok(previous) = trigger.previous(fire) {
            assert_eq!(previous, Some(fire));
        }
        last = fire;
    }
});
