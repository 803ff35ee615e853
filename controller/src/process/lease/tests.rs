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
fn the_own_lease_is_renewed_even_when_it_has_expired() {
    let now = Instant::now();
    assert_eq!(
        decide(Some(&seen("me", now)), "me", now + Duration::from_secs(60)),
        Decision::Renew
    );
}

#[test]
fn the_lease_of_another_is_taken_only_after_its_duration_since_it_was_first_seen() {
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
fn a_renewal_starts_the_time_anew_and_an_unchanged_record_does_not() {
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
    // It had 12 of its 15 seconds left.
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
