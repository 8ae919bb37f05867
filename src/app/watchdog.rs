//! Ends the process where a device does not come back, so that whatever started it can start it again: a thread that is
//! lost in a model or in a driver cannot be ended alone.

use crate::lifecycle::{DeviceStatus, Lifecycle};
use crate::scheduler::Stuck;
use std::sync::Arc;
use std::time::Duration;

/// The exit code that says so: one of the command line's.
pub const LOST: i32 = 5;

/// The time between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks after the devices for as long as it is polled.
#[expect(clippy::disallowed_methods, reason = "what would be dropped may wait for the thread that is lost")]
pub async fn keep(lifecycle: Arc<Lifecycle>) {
    loop {
        tokio::time::sleep(PAUSE).await;
        if let Some((device, lost)) = lost(&lifecycle.devices()) {
            let (device, model, seconds) = (device.id.to_string(), &lost.model, lost.ran.as_secs_f64());
            let node = lost.node.as_deref().unwrap_or("not known");
            tracing::error!(%model, device, node, seconds, "the device does not come back; the process ends");
            std::process::exit(LOST);
        }
    }
}

/// The first batch of which nothing is hoped any more.
fn lost(devices: &[DeviceStatus]) -> Option<(&DeviceStatus, &Stuck)> {
    devices.iter().find_map(|device| Some((device, device.stuck.iter().find(|stuck| stuck.lost)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::DeviceId;

    #[test]
    fn what_is_stuck_is_waited_for_and_what_is_lost_is_not() {
        let stuck = |lost| Stuck { model: "mask".into(), node: None, ran: Duration::from_secs(90), lost };
        let device =
            |stuck| DeviceStatus { id: DeviceId::Cpu, lanes: 2, busy_10s: 1.0, busy_60s: 1.0, stuck };
        assert!(lost(&[device(vec![]), device(vec![stuck(false)])]).is_none());
        assert!(lost(&[device(vec![]), device(vec![stuck(false), stuck(true)])]).is_some());
    }
}
