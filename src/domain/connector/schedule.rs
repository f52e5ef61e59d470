//! When an issuer is asked for its metadata. As with Connections, pauses are spread by a hash of the uid.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::connector::MetadataFetch;
use crate::domain::connection::schedule::{later, share};

/// Metadata that was had is renewed after this, up to a tenth earlier.
const RENEWAL: Duration = Duration::from_hours(24);

/// After a failure it is asked for again after this, then after four times as long each time, …
const FIRST_RETRY: Duration = Duration::from_mins(1);

/// … up to this, which is also how long an issuer's wish to be left alone is honoured.
const LONGEST_RETRY: Duration = Duration::from_hours(1);

/// A change is worth asking again after this.
const AFTER_CHANGE: Duration = Duration::from_secs(5);

/// Over a day, an issuer is asked this far apart on average, whatever changes: four times an hour.
const PACE: Duration = Duration::from_mins(15);

/// How often it may be asked at once before the pace is held.
const BURST: u32 = 6;

/// When metadata that was had now is renewed.
pub(super) fn renewal_at(uid: &str, now: Timestamp) -> Timestamp {
    later(now, RENEWAL.mul_f64(1.0 - 0.1 * share(uid, "metadata")))
}

/// When to ask again after this many failures in a row.
pub(super) fn retry_at(uid: &str, now: Timestamp, failures: i64, retry_after: Option<Duration>) -> Timestamp {
    let steps = u32::try_from(failures.clamp(1, 8) - 1).unwrap_or_default();
    let pause = (FIRST_RETRY * 4_u32.pow(steps)).min(LONGEST_RETRY);
    let pause = pause.mul_f64(1.0 + 0.1 * share(uid, "metadata"));
    later(now, pause.max(retry_after.unwrap_or_default().min(LONGEST_RETRY)))
}

/// Until when requests are paid for after one more now. Where the issuer asks to wait, so much is paid that nothing
/// is sent before.
pub(super) fn paid_until(
    now: Timestamp,
    before: Option<Timestamp>,
    retry_after: Option<Duration>,
) -> Timestamp {
    let asked = retry_after.map(|wait| later(now, wait.min(LONGEST_RETRY) + PACE * (BURST - 1)));
    later(before.unwrap_or(now).max(now), PACE).max(asked.unwrap_or(Timestamp::MIN))
}

/// When the issuer is asked next, after this last time. `changed` says that it depended on something else.
pub(super) fn due_at(last: &MetadataFetch, changed: bool) -> Timestamp {
    if !changed {
        return last.due_at.0;
    }
    let paced = last.paid_until.0.checked_sub(PACE * (BURST - 1)).unwrap_or(Timestamp::MIN);
    last.due_at.0.min(later(last.time.0, AFTER_CHANGE)).max(paced)
}
