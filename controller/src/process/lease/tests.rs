use std::time::Duration;

use tokio::time::Instant;

use super::{Decision, Record, Seen, decide};

fn seen(holder: &str, since: Instant) -> Seen {
    let record = Record {
        holder: holder.to_owned(),
        duration: Duration::from_secs(15),
        resource_version: "1".to_owned(),
    };
    Seen {
        record,
        since,
        extended: false,
    }
}

#[test]
fn a_missing_lease_is_created_and_a_free_one_taken() {
    let now = Instant::now();
    assert_eq!(decide(None, "me", now), Decision::Create);
    assert_eq!(decide(Some(&seen("", now)), "me", now), Decision::Take);
}

#[test]
fn a_process_renews_its_own_lease_even_after_expiry() {
    let now = Instant::now();
    assert_eq!(
        decide(Some(&seen("me", now)), "me", now + Duration::from_secs(60)),
        Decision::Renew
    );
}

#[test]
fn another_lease_is_taken_only_when_its_duration_has_passed_since_it_was_first_seen() {
    let now = Instant::now();
    let other = seen("other", now);
    assert_eq!(
        decide(Some(&other), "me", now + Duration::from_secs(15)),
        Decision::Wait
    );
    assert_eq!(
        decide(Some(&other), "me", now + Duration::from_secs(16)),
        Decision::Take
    );
}

#[test]
fn only_a_renewal_restarts_the_expiry() {
    let now = Instant::now();
    let later = now + Duration::from_secs(10);
    let first = seen("other", now);
    let same = Seen::update(Some(first.clone()), first.record.clone(), later);
    assert_eq!(same.since, now);
    let renewed = Record {
        resource_version: "2".to_owned(),
        ..first.record.clone()
    };
    assert_eq!(Seen::update(Some(first), renewed, later).since, later);
}

#[test]
fn a_record_is_extended_once_and_never_shortened() {
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let grace = Duration::from_secs(6);
    // 12 of its 15 seconds were left, which is more than the grace.
    assert_eq!(seen("other", now).extend(grace, at(3)).since, now);
    let extended = seen("other", now).extend(grace, at(20));
    assert_eq!(decide(Some(&extended), "me", at(26)), Decision::Wait);
    assert_eq!(decide(Some(&extended), "me", at(27)), Decision::Take);
    let again = Seen::update(Some(extended.clone()), extended.record.clone(), at(26));
    assert_eq!(again.extend(grace, at(26)), extended);
    let renewed = Record {
        resource_version: "2".to_owned(),
        ..extended.record.clone()
    };
    assert!(!Seen::update(Some(extended), renewed, at(26)).extended);
}
