use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const LIFETIME: Duration = Duration::from_secs(10);

type Answers = Remembered<usize, bool>;

fn answers() -> Answers {
    Remembered::new(LIFETIME, |good| *good)
}

/// Lets everybody through.
#[expect(clippy::unnecessary_wraps, reason = "as those do that refuse")]
fn anybody<V>(_: Option<&V>) -> Result<(), ()> {
    Ok(())
}

async fn counted(count: &AtomicU32, answer: Result<u32, ()>) -> Result<u32, ()> {
    tokio::task::yield_now().await;
    count.fetch_add(1, Ordering::Relaxed);
    answer
}

/// Asks at a time; whether it was known when it was let through, where it had to be.
fn ask_at(answers: &Answers, key: usize, now: Instant, good: bool) -> Option<bool> {
    let known = RefCell::new(None);
    let admit = |last: Option<&bool>| {
        known.replace(Some(last.is_some()));
        Ok::<_, ()>(())
    };
    let place = answers.place(&key, now, admit).unwrap();
    if place.admitted {
        answers.learn(&key, &place.answer, &good, now);
        place.answer.set(good).unwrap();
    }
    known.into_inner()
}

fn is_held(answers: &Answers, key: usize) -> bool {
    answers.entries().contains_key(&key)
}

#[tokio::test]
async fn an_answer_is_asked_for_once_also_by_many_at_once() {
    let (remembered, count) = (Remembered::new(KNOWN, |_| true), AtomicU32::new(0));
    let ask = || remembered.get("a", anybody, || counted(&count, Ok(7)));
    let answers = tokio::join!(ask(), ask(), ask());
    assert_eq!(answers, (Ok(7), Ok(7), Ok(7)));
    assert_eq!(remembered.get("a", anybody, || counted(&count, Ok(8))).await, Ok(7));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    assert_eq!(remembered.get("b", anybody, || counted(&count, Ok(8))).await, Ok(8));
}

#[tokio::test]
async fn a_failure_is_not_remembered_and_an_answer_not_for_longer_than_its_time() {
    let (remembered, count) = (Remembered::new(LIFETIME, |_| true), AtomicU32::new(0));
    assert_eq!(remembered.get("a", anybody, || counted(&count, Err(()))).await, Err(()));
    assert_eq!(remembered.get("a", anybody, || counted(&count, Ok(7))).await, Ok(7));

    let later = Instant::now() + LIFETIME;
    assert_eq!(remembered.place(&"a", later, anybody).unwrap().answer.get(), None);
}

#[tokio::test]
async fn what_is_not_let_through_is_not_asked_and_takes_no_memory_and_what_is_remembered_needs_no_leave() {
    let (remembered, count) = (Remembered::new(LIFETIME, |_| true), AtomicU32::new(0));
    let nobody = |_: Option<&u32>| Err(());
    assert_eq!(remembered.get("a", nobody, || counted(&count, Ok(7))).await, Err(()));
    assert_eq!((remembered.entries().len(), count.load(Ordering::Relaxed)), (0, 0));

    assert_eq!(remembered.get("a", anybody, || counted(&count, Ok(7))).await, Ok(7));
    assert_eq!(remembered.get("a", nobody, || counted(&count, Ok(8))).await, Ok(7));
}

#[tokio::test]
async fn who_asks_again_after_a_failure_needs_leave_again() {
    let (remembered, count) = (Remembered::new(LIFETIME, |_| true), AtomicU32::new(0));
    assert_eq!(remembered.get("a", anybody, || counted(&count, Err(()))).await, Err(()));
    let nobody = |_: Option<&u32>| Err(());
    assert_eq!(remembered.get("a", nobody, || counted(&count, Ok(7))).await, Err(()));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_favourable_answer_is_known_beyond_its_time_until_an_unfavourable_one_or_a_long_silence() {
    let (answers, start) = (answers(), Instant::now());
    assert_eq!(ask_at(&answers, 1, start, true), Some(false));
    assert_eq!(ask_at(&answers, 1, start + LIFETIME / 2, true), None, "it is remembered");
    assert_eq!(ask_at(&answers, 1, start + LIFETIME, true), Some(true));
    let later = start + LIFETIME + KNOWN.mul_f64(0.999);
    assert_eq!(ask_at(&answers, 1, later, false), Some(true));
    assert_eq!(ask_at(&answers, 1, later + LIFETIME, true), Some(false));
    assert_eq!(ask_at(&answers, 1, later + LIFETIME + KNOWN, true), Some(false));
}

#[test]
fn garbage_fills_no_memory_and_drops_nobody_who_is_known() {
    let (answers, start) = (answers(), Instant::now());
    for key in 0..100 {
        ask_at(&answers, key, start, true);
    }
    // All at the same time, so that none of it is over.
    let flood = start + LIFETIME;
    for key in 100..3 * LIMIT {
        ask_at(&answers, key, flood, false);
        assert!(answers.entries().len() <= LIMIT);
    }
    assert!((0..100).all(|key| is_held(&answers, key)));
    assert_eq!(ask_at(&answers, 0, flood, true), Some(true));
}

#[test]
fn the_oldest_garbage_goes_first_and_what_is_over_before_it() {
    let (answers, start) = (answers(), Instant::now());
    let tick = |number: usize| Duration::from_micros(number as u64);
    for key in 0..LIMIT {
        ask_at(&answers, key, start + tick(key), false);
    }
    ask_at(&answers, LIMIT, start + tick(LIMIT), false);
    assert!(!is_held(&answers, BATCH - 1) && is_held(&answers, BATCH));
    assert!(is_held(&answers, LIMIT - 1) && is_held(&answers, LIMIT));

    for key in 0..BATCH {
        ask_at(&answers, LIMIT + 1 + key, start + LIFETIME + tick(LIMIT), false);
    }
    assert_eq!(answers.entries().len(), BATCH, "all of the first second's was over");
}

#[test]
fn where_all_are_known_those_go_that_have_not_asked_for_longest() {
    let (answers, start) = (answers(), Instant::now());
    let tick = |number: usize| Duration::from_micros(number as u64);
    for key in 0..LIMIT {
        ask_at(&answers, key, start + tick(key), true);
    }
    ask_at(&answers, 0, start + LIFETIME, true);
    ask_at(&answers, LIMIT, start + LIFETIME, true);
    assert!(is_held(&answers, 0) && !is_held(&answers, 1) && is_held(&answers, LIMIT));
    assert_eq!(answers.entries().len(), LIMIT - BATCH + 1);
}
