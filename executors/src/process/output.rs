//! What a program prints.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use futures_lite::{AsyncRead, AsyncReadExt, future};

/// The end of what a program prints.
#[derive(Debug)]
pub(super) struct Output {
    /// Up to twice the limit, so that what is dropped is moved seldom.
    bytes: Vec<u8>,
    limit: usize,
    left_out: u64,
}

/// The bytes of an output's end in an error text: a run keeps 4,096 bytes of one.
const EXCERPT: usize = 2_000;

impl Output {
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, left_out: 0 }
    }

    /// Reads a pipe until it is closed, or until no bytes are left to read.
    pub(super) async fn fill(&mut self, pipe: Option<impl AsyncRead + Unpin>, left: &AtomicU64) {
        let Some(mut pipe) = pipe else { return };
        let mut chunk = vec![0; 16 << 10];
        while left.load(Relaxed) > 0 {
            let read = match pipe.read(&mut chunk).await {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) => {
                    self.push(format!("[the rest cannot be read: {error}]").as_bytes());
                    return;
                }
            };
            self.push(&chunk[..read]);
            left.store(left.load(Relaxed).saturating_sub(read as u64), Relaxed);
            // A program that never stops printing leaves time for others.
            future::yield_now().await;
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > self.limit.saturating_mul(2) {
            let surplus = self.bytes.len() - self.limit;
            self.bytes.drain(..surplus);
            self.left_out += surplus as u64;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// What was printed last, with a note in front if there was more.
    pub(super) fn text(&self) -> String {
        self.last(self.limit)
    }

    /// The very end, without white space around it.
    pub(super) fn end(&self) -> String {
        self.last(self.limit.min(EXCERPT)).trim().to_owned()
    }

    fn last(&self, limit: usize) -> String {
        let mut kept = &self.bytes[self.bytes.len().saturating_sub(limit)..];
        let is_whole = self.left_out == 0 && kept.len() == self.bytes.len();
        if is_whole {
            return String::from_utf8_lossy(kept).into_owned();
        }
        // The rest of a character that was cut is no character.
        let cut = kept.iter().take(3).take_while(|byte| **byte & 0b1100_0000 == 0b1000_0000).count();
        kept = &kept[cut..];
        let left_out = self.left_out + (self.bytes.len() - kept.len()) as u64;
        format!("[{left_out} bytes left out]\n{}", String::from_utf8_lossy(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(limit: usize, chunks: &[&str]) -> Output {
        let mut output = Output::new(limit);
        let text = chunks.concat();
        for byte in text.as_bytes().chunks(3) {
            output.push(byte);
        }
        output
    }

    #[test]
    fn an_output_within_the_limit_is_kept_as_it_is() {
        assert_eq!(output(10, &["0123456789"]).text(), "0123456789");
        assert_eq!(output(10, &[]).text(), "");
    }

    #[test]
    fn of_a_longer_output_the_end_is_kept_and_counted_is_what_is_not() {
        assert_eq!(output(10, &["abc", "0123456789"]).text(), "[3 bytes left out]\n0123456789");
        let long = "x".repeat(1_000_000);
        assert_eq!(output(4, &[&long, "end!"]).text(), "[1000000 bytes left out]\nend!");
        assert_eq!(output(0, &["abc"]).text(), "[3 bytes left out]\n");
    }

    #[test]
    fn no_character_is_cut_in_two() {
        assert_eq!(output(5, &["\u{1F600}\u{1F600}!"]).text(), "[4 bytes left out]\n\u{1F600}!");
        assert_eq!(output(4, &["\u{1F600}\u{1F600}!"]).text(), "[8 bytes left out]\n!");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        let mut output = Output::new(10);
        output.push(b"a\xffb");
        assert_eq!(output.text(), "a\u{fffd}b");
    }
}
