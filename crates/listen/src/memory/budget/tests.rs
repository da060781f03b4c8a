use super::*;
use futures_util::FutureExt as _;
use tokio::time::advance;

const KIB: usize = 1024;

fn owner(last: u8) -> Owner {
    Owner::claimed(IpAddr::from([10, 0, 0, last]), "AKIA")
}

/// A body of which this many bytes have arrived.
async fn body(budget: &Budget, owner: Owner, bytes: usize) -> Lease {
    let mut lease = budget.receive(owner);
    lease.append(&vec![7; bytes], usize::MAX).await.unwrap();
    lease
}

fn is_cut_off(lease: &Lease) -> bool {
    lease.evicted().now_or_never().is_some()
}

#[tokio::test(start_paused = true)]
async fn bodies_that_trickle_in_make_room_for_one_that_comes_at_once() {
    let budget = Budget::new("test", 256 * KIB);
    let mut slow = Vec::new();
    for _ in 0..16 {
        slow.push(body(&budget, owner(1), 16 * KIB).await);
    }
    assert_eq!(budget.free(), 0);
    advance(STALL_TIME).await;
    // The same owner: two clients with one key behind one address.
    let began = Instant::now();
    let fast = body(&budget, owner(1), 32 * KIB).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    // The one beyond the number of requests, and one more for room.
    let cut: Vec<bool> = slow.iter().map(is_cut_off).collect();
    assert_eq!(cut.iter().position(|cut| !cut), Some(2), "the longest stalled are cut off, and no more: {cut:?}");
    assert_eq!((budget.evicted(), is_cut_off(&fast)), (2, false));
    assert!(matches!(slow[0].append(b"more", usize::MAX).await, Err(CommonError::Busy)));
    drop((slow, fast));
    assert_eq!(budget.free(), 256 * KIB);
}

#[tokio::test(start_paused = true)]
async fn room_is_taken_in_steps_as_bytes_come() {
    let budget = Budget::new("test", 64 * STEP_BYTES);
    let taken = || 64 * STEP_BYTES - budget.free();
    let mut lease = budget.receive(owner(1));
    assert_eq!(taken(), 0);
    for (piece, declared, room) in [
        (1, usize::MAX, FIRST_BYTES),
        (FIRST_BYTES, usize::MAX, 2 * FIRST_BYTES),
        (STEP_BYTES, usize::MAX, 2 * STEP_BYTES),
        (STEP_BYTES, 2 * STEP_BYTES + 10_000, 2 * STEP_BYTES + 10_000),
    ] {
        lease.append(&vec![1; piece], declared).await.unwrap();
        assert_eq!(taken(), room);
    }
    assert_eq!(lease.finish().unwrap().len(), 1 + FIRST_BYTES + 2 * STEP_BYTES);
}

#[tokio::test(start_paused = true)]
async fn of_fast_clients_the_slowest_of_who_holds_more_makes_room() {
    let budget = Budget::new("test", 64 * KIB);
    let mut heavy = vec![body(&budget, owner(1), 32 * KIB).await];
    advance(Duration::from_millis(1)).await;
    heavy.push(body(&budget, owner(1), 16 * KIB).await);
    let other = body(&budget, owner(2), 16 * KIB).await;
    let new = body(&budget, owner(3), 16 * KIB).await;
    let cut = [&heavy[0], &heavy[1], &other, &new].map(is_cut_off);
    assert_eq!(cut, [true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn what_is_large_makes_room_for_what_is_small_however_fast_it_is() {
    let budget = Budget::new("test", 4 * SMALL_BYTES);
    let large = [body(&budget, owner(1), 2 * SMALL_BYTES).await, body(&budget, owner(1), 2 * SMALL_BYTES).await];
    let began = Instant::now();
    let small = body(&budget, owner(1), 1).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!([&large[0], &large[1], &small].map(is_cut_off), [true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn of_those_who_wait_the_smallest_is_served_first() {
    let budget = Budget::new("test", 10);
    let mut all = budget.take(owner(1), 10).await.unwrap();
    let mut large = Box::pin(budget.take(owner(1), 8));
    let mut small = Box::pin(budget.take(owner(1), 2));
    assert!(large.as_mut().now_or_never().is_none() && small.as_mut().now_or_never().is_none());
    all.shrink(1);
    let served = small.as_mut().now_or_never();
    assert!(matches!(served, Some(Ok(_))) && large.as_mut().now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_the_server_works_with_is_not_cut_off_and_who_waits_for_it_is_told_to_try_again_or_served() {
    let budget = Budget::new("test", 10);
    let mut working = budget.receive(owner(1));
    working.append(&[1; 8], 8).await.unwrap();
    assert_eq!(working.finish().unwrap(), [1; 8]);
    let began = Instant::now();
    assert!(matches!(budget.take(owner(2), 3).await, Err(CommonError::Busy)));
    assert_eq!(began.elapsed(), ROOM_TIME);
    assert!(matches!(budget.take(owner(2), 11).await, Err(CommonError::Busy)));
    assert_eq!(began.elapsed(), ROOM_TIME, "what never fits is refused at once");
    let mut waits = Box::pin(budget.take(owner(2), 3));
    assert!(waits.as_mut().now_or_never().is_none());
    assert!(budget.take(owner(3), 2).await.is_ok(), "a small one does not wait behind a large one");
    drop(working);
    assert_eq!(waits.await.unwrap().room, 3);
    assert_eq!(budget.free(), 10);
}

#[tokio::test(start_paused = true)]
async fn one_who_stops_waiting_takes_nothing_along() {
    let budget = Budget::new("test", 10);
    let all = budget.take(owner(1), 10).await.unwrap();
    let mut waits = Box::pin(budget.take(owner(2), 10));
    assert!(waits.as_mut().now_or_never().is_none());
    drop(all);
    // It was granted, and nobody takes it.
    assert_eq!(budget.free(), 0);
    drop(waits);
    assert_eq!(budget.free(), 10);
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_gets_the_room_of_a_client_that_stalls_meanwhile() {
    let budget = Budget::new("test", 8 * KIB);
    let slow = body(&budget, owner(1), 8 * KIB).await;
    let began = Instant::now();
    let fast = body(&budget, owner(1), KIB).await;
    assert!(began.elapsed() >= STALL_TIME && began.elapsed() < STALL_TIME + 2 * LOOK_AGAIN, "{:?}", began.elapsed());
    assert_eq!([&slow, &fast].map(is_cut_off), [true, false]);
}

#[tokio::test(start_paused = true)]
async fn requests_whose_first_byte_is_late_are_not_cut_off_as_they_hold_no_room() {
    let budget = Budget::with_share("test", 12 * KIB, 8 * KIB);
    let late = [1, 1, 2, 2].map(|number| budget.receive(owner(number)));
    advance(Duration::from_millis(1)).await;
    let slow = body(&budget, owner(1), 8 * KIB).await;
    advance(STALL_TIME).await;
    // The budget is short; then the owner's share.
    let other = body(&budget, owner(2), 8 * KIB).await;
    assert!(is_cut_off(&slow));
    advance(STALL_TIME).await;
    let next = body(&budget, owner(2), 8 * KIB).await;
    assert_eq!([&other, &next].map(is_cut_off), [true, false]);
    assert_eq!(late.each_ref().map(is_cut_off), [false; 4]);
}

#[tokio::test(start_paused = true)]
async fn nobody_takes_more_than_a_share() {
    let budget = Budget::with_share("test", 12, 8);
    let first = budget.take(owner(1), 6).await.unwrap();
    assert!(matches!(budget.take(owner(1), 4).await, Err(CommonError::Busy)));
    let _other = budget.take(owner(2), 4).await.unwrap();
    assert!(budget.take_now(owner(1), 3).is_none() && budget.take_now(owner(3), 3).is_none());
    assert_eq!(budget.take_now(owner(1), 2).map(|lease| lease.room), Some(2));
    drop(first);
    // An answer that its client does not take makes room for another of its owner.
    let mut unread = budget.take(owner(1), 8).await.unwrap();
    unread.offer(vec![1; 8]);
    advance(STALL_TIME).await;
    let _next = budget.take(owner(1), 8).await.unwrap();
    assert_eq!(unread.part(0, 8), None);
}

#[tokio::test(start_paused = true)]
async fn of_two_bodies_that_wait_for_each_others_room_the_older_one_goes_on() {
    let budget = Budget::new("test", 64 * KIB);
    let mut older = body(&budget, owner(1), 32 * KIB).await;
    let mut younger = body(&budget, owner(1), 32 * KIB).await;
    let piece = vec![7; 16 * KIB];
    let waits = async {
        let refused = younger.append(&piece, usize::MAX).await;
        (refused, Instant::now())
    };
    let began = Instant::now();
    let goes_on = async {
        tokio::task::yield_now().await;
        older.append(&piece, usize::MAX).await
    };
    let ((refused, at), served) = tokio::join!(waits, goes_on);
    assert!(matches!(refused, Err(CommonError::Busy)) && served.is_ok());
    assert_eq!(at.duration_since(began), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn of_the_many_requests_of_one_owner_the_slowest_end() {
    let budget = Budget::new("test", 1 << 30);
    let mut slow = Vec::new();
    for _ in 0..3 * REQUESTS_PER_OWNER {
        slow.push(body(&budget, owner(1), 1).await);
    }
    let other = body(&budget, owner(2), 1).await;
    assert_eq!(budget.evicted(), 0, "none stalls");
    advance(STALL_TIME).await;
    let new = body(&budget, owner(1), 1).await;
    assert_eq!(slow.iter().filter(|slow| !is_cut_off(slow)).count(), REQUESTS_PER_OWNER - 1);
    assert_eq!([&other, &new].map(is_cut_off), [false, false]);
}

#[test]
fn a_client_has_an_address_or_a_network_of_ipv6() {
    let of = |text: &str| Owner::stranger(text.parse().unwrap());
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
}
