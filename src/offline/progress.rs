//! How far a run is: a bar on a terminal, a plain line every ten seconds elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(10);

pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    begun: Instant,
    next_line: Instant,
}

impl Progress {
    pub fn new(total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            let form = "{bar:30} {human_pos}/{human_len}  {per_sec}  {eta} left{msg}";
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self { bar, total, begun: now, next_line: now + LINE_EVERY }
    }

    pub fn at(&mut self, done: u64, failed: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            if failed > 0 {
                bar.set_message(format!("  {failed} failed"));
            }
            return;
        }
        let now = Instant::now();
        if now >= self.next_line {
            self.next_line = now + LINE_EVERY;
            let rate = done as f64 / (now - self.begun).as_secs_f64();
            // Where stderr is closed nobody is told.
            let _ = writeln!(stderr(), "{done}/{} done, {failed} failed, {rate:.0}/s", self.total);
        }
    }

    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
