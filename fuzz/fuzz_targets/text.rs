//! Any text as a trigger: what can be read is written and persisted so that it reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scheduler_core::Trigger;

fuzz_target!(|text: &str| {
    if let Ok(trigger) = text.parse::<Trigger>() {
        assert_eq!(trigger.to_string().parse::<Trigger>().as_ref(), Ok(&trigger));
        let json = serde_json::to_string(&trigger).expect("each trigger can be persisted");
        assert_eq!(serde_json::from_str::<Trigger>(&json).expect("what was persisted is read"), trigger);
    }
});
