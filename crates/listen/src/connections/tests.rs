use super::*;
use futures_util::FutureExt as _;
use tokio::time::advance;

const HERE: [u8; 4] = [127, 0, 0, 1];

fn connections(limits: ConnectionLimits) -> Arc<Connections> {
    Connections::new(limits, &Traffic::default())
}

#[test]
fn there_are_no_more_connections_and_pulls_than_open_files_allow() {
    let usual = ConnectionLimits::default();
    for (files, connections, layers) in [
        (None, 4096, usize::MAX),
        (Some(1_048_576), 4096, 1_048_576 - 128 - 64 - 4096),
        (Some(1024), 416, 416),
        (Some(64), 16, 16),
    ] {
        assert_eq!(usual.within(files).connections, connections, "{files:?}");
        assert_eq!(usual.layer_files(files), layers, "{files:?}");
    }
}

#[tokio::test]
async fn the_address_with_the_most_strangers_loses_the_one_that_idles_longest() {
    let connections = connections(ConnectionLimits { connections: 4, ..ConnectionLimits::default() });
    let mut places = Vec::new();
    for address in [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 2], [10, 0, 0, 3]] {
        places.push(connections.admit(address.into(), false).await);
    }
    places.push(connections.admit([10, 0, 0, 4].into(), false).await);
    let ended = |places: &[Place]| -> Vec<usize> {
        (0..places.len()).filter(|at| places[*at].state.evicted.load(Relaxed)).collect()
    };
    assert_eq!(ended(&places), [1], "of the two, the first");
    places[0].state.become_known();
    for number in [2, 3, 4, 5] {
        places.push(connections.admit([10, 0, 0, 5].into(), false).await);
        places.last().unwrap().state.become_known();
        assert!(ended(&places).contains(&number), "{number}: {:?}", ended(&places));
    }
    // A request that is answered keeps its connection.
    let requests: Vec<_> = places.iter().map(|place| place.state.begin()).collect();
    assert!(connections.admit(HERE.into(), false).await.state.is_spare());
    drop(requests);
    assert!(!connections.admit(HERE.into(), false).await.state.is_spare());
}

#[tokio::test(start_paused = true)]
async fn known_connections_of_a_trusted_proxy_are_not_counted_by_its_address() {
    let proxy = [10, 0, 0, 9];
    for stalled in [false, true] {
        let connections = connections(ConnectionLimits { connections: 5, ..Default::default() });
        let (mut places, mut requests) = (Vec::new(), Vec::new());
        // Those of the proxy are the most, and idle or stall the longest.
        for (address, proxied) in [(proxy, true), (proxy, true), (proxy, true), (HERE, false), (HERE, false)] {
            let place = connections.admit(address.into(), proxied).await;
            place.state.become_known();
            if stalled {
                requests.push(place.state.begin());
                place.state.blocked(true);
            }
            places.push(place);
            advance(STALL_TIME).await;
        }
        let new = connections.admit([10, 0, 0, 1].into(), false).await;
        let evicted: Vec<_> = places.iter().map(|place| place.state.evicted.load(Relaxed)).collect();
        assert_eq!((evicted, new.state.is_spare()), (vec![false, false, false, true, false], false), "{stalled}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_gets_that_of_a_connection_that_idles_or_stalls_meanwhile() {
    let connections = connections(ConnectionLimits { connections: 1, spare: 1, ..Default::default() });
    for stalls in [false, true] {
        let mut busy = Vec::new();
        for _ in 0..2 {
            let place = connections.admit(HERE.into(), false).await;
            busy.push((place.state.begin(), place));
        }
        let began = Instant::now();
        let mut waits = pin!(timeout(2 * STALL_TIME, connections.admit(HERE.into(), false)));
        assert!(waits.as_mut().now_or_never().is_none(), "both are being answered");
        let (request, place) = busy.remove(0);
        let _request = match stalls {
            true => {
                place.state.blocked(true);
                Some(request)
            }
            false => {
                drop(request);
                None
            }
        };
        let ends = async {
            place.state.ended().await;
            drop(place);
        };
        let (admitted, ()) = tokio::join!(waits, timeout(2 * STALL_TIME, ends).map(|ended| ended.unwrap()));
        assert!(admitted.is_ok(), "{stalls}");
        let at_most = if stalls { STALL_TIME } else { Duration::ZERO } + 2 * LOOK_AGAIN;
        assert!(began.elapsed() <= at_most, "{stalls}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn strangers_hold_no_more_than_their_budget_and_who_is_known_has_none() {
    let connections = connections(ConnectionLimits { strangers_bytes: 2 * PIECE_BYTES, ..Default::default() });
    let one = connections.admit(HERE.into(), false).await;
    let two = connections.admit(HERE.into(), false).await;
    one.state.received(FREE_BYTES + 2 * PIECE_BYTES).unwrap();
    two.state.received(FREE_BYTES).unwrap();
    two.state.received(1).unwrap_err();
    one.state.consumed(2 * PIECE_BYTES);
    two.state.received(1).unwrap();
    drop(one.state.begin());
    assert_eq!(connections.strangers_bytes.available_permits(), 1, "a head that came whole is held no more");
    two.state.become_known();
    two.state.received(100 * PIECE_BYTES).unwrap();
    assert_eq!(connections.strangers_bytes.available_permits(), 2);
}

#[tokio::test]
async fn large_reads_have_one_budget_which_a_connection_gives_back_when_its_memory_is_small() {
    let limits = ConnectionLimits { read_ahead_bytes: 30 * AHEAD_BYTES, ..Default::default() };
    let connections = connections(limits);
    let mut places = Vec::new();
    for most in [usize::MAX, MIDDLE_READ_BYTES] {
        let place = connections.admit(HERE.into(), false).await;
        assert_eq!(place.state.read_at_most(), SMALL_READ_BYTES);
        assert!(place.state.read_large());
        assert_eq!(place.state.read_at_most(), most);
        places.push(place);
    }
    let state = &places[0].state;
    state.received(LARGE_READ_BYTES).unwrap();
    state.read_small();
    assert_eq!(state.read_at_most(), SMALL_READ_BYTES);
    assert_eq!(connections.read_ahead.available_permits(), 13, "hyper still has the memory");
    drop(state.begin());
    state.small_again().await;
    state.begin_anew();
    assert_eq!(connections.read_ahead.available_permits(), 29);
}
