//! Lists at several replicas: what concurrent changes come to, and that their positions do not grow.

use cahoots_gossip::store::ListEnd::{Left, Right};
use cahoots_gossip::store::{Applied, BUCKETS, Class, EventError, ListEnd, Store, WriteError, Writer};
use cahoots_gossip::{Dot, Limits, ReplicaId};

const WALL: u64 = 1_700_000_000_000;

fn stores<const N: usize>() -> [Store; N] {
    std::array::from_fn(|at| Store::new(ReplicaId::new(at as u64 + 1), Limits::default(), 1_000))
}

/// Seals what one replica has written, and hands it to the other; bytes of the events.
fn send(from: &mut Store, to: &mut Store) -> usize {
    from.seal();
    let (id, mut bytes) = (from.id(), 0);
    while let Some(sealed) = from.poll_sealed() {
        assert_eq!(to.apply(Dot::new(id, sealed.seq), &sealed.body), Ok(Applied::Now));
        bytes += sealed.body.len();
    }
    bytes
}

fn exchange(a: &mut Store, b: &mut Store) {
    send(a, b);
    send(b, a);
    assert!(a.fingerprints_are_exact() && b.fingerprints_are_exact());
    assert_eq!(a.fingerprint(), b.fingerprint());
}

fn transfer(from: &mut Store, to: &mut Store) -> bool {
    let theirs = to.bucket_fingerprints(0, BUCKETS);
    let (bytes, _) = from.encode_transfer(0, &theirs, usize::MAX, usize::MAX);
    to.join_transfer(&bytes).is_ok()
}

fn push(writer: &mut Writer<'_>, key: &str, end: ListEnd, words: &str) -> Result<usize, WriteError> {
    writer.push(key.as_bytes(), end, words.split(' ').map(str::as_bytes))
}

fn shown_at(store: &Store, key: &str, wall: u64) -> String {
    let Some(view) = store.at(wall).view(key.as_bytes()) else { return String::new() };
    assert_eq!(view.class(), Class::List);
    let list = view.ordered();
    assert_eq!(list.len(), view.len());
    let values: Vec<&str> = list.range(0..usize::MAX).map(|(_, value)| std::str::from_utf8(value).unwrap()).collect();
    values.join(" ")
}

fn shown(store: &Store, key: &str) -> String {
    shown_at(store, key, WALL)
}

fn rank_of(writer: &Writer<'_>, value: &str) -> usize {
    let view = writer.moment().view(b"l").expect("there is a list");
    view.ordered().range(0..usize::MAX).position(|(_, it)| it == value.as_bytes()).expect("it is there")
}

fn insert(writer: &mut Writer<'_>, pivot: &str, side: ListEnd, value: &str) {
    let rank = rank_of(writer, pivot);
    writer.insert_beside(b"l", rank, side, value.as_bytes()).unwrap().expect("there is such an element");
}

fn set(writer: &mut Writer<'_>, old: &str, new: &str) {
    let rank = rank_of(writer, old);
    assert_eq!(writer.set_element(b"l", rank, new.as_bytes()), Ok(true));
}

fn remove(writer: &mut Writer<'_>, value: &str) {
    assert_eq!(writer.remove_equal(b"l", value.as_bytes(), Left, 1), Ok(1));
}

type Does = fn(&mut Writer<'_>);

fn back(writer: &mut Writer<'_>, words: &str) {
    push(writer, "l", Right, words).expect("admitted");
}

fn front(writer: &mut Writer<'_>, words: &str) {
    push(writer, "l", Left, words).expect("admitted");
}

fn pop(writer: &mut Writer<'_>) {
    assert_eq!(writer.take_ranks(b"l", 0..1), Ok(vec![b"a".to_vec()]));
}

fn rotate(writer: &mut Writer<'_>) {
    assert_eq!(writer.move_element((b"l", Left), (b"l", Right)), Ok(Some(b"a".to_vec())));
}

fn delete(writer: &mut Writer<'_>) {
    assert_eq!(writer.delete(b"l"), Ok(true));
}

/// As `docs/data-types.md` has it: what is there before, what A and B do without having seen each other's, what both read.
#[test]
fn concurrent_changes_come_to_what_is_documented() {
    let cases: [(&str, Does, Does, &str); 12] = [
        ("", |w| back(w, "x y"), |w| back(w, "z"), "x y z"),
        ("a", |w| front(w, "x y"), |w| front(w, "z"), "z y x a"),
        ("a b c", pop, pop, "b c"),
        ("a b c", pop, |w| set(w, "a", "x"), "x b c"),
        ("a b c", |w| set(w, "b", "x"), |w| set(w, "b", "y"), "a y c"),
        ("a b c", |w| remove(w, "b"), |w| insert(w, "b", Right, "x"), "a x c"),
        ("a b c", |w| insert(w, "b", Left, "x"), |w| insert(w, "a", Right, "y"), "a y x b c"),
        ("a b c", delete, |w| back(w, "d"), "d"),
        ("a b c", |w| w.trim(b"l", 1..3).expect("admitted"), |w| back(w, "d"), "b c d"),
        ("a b", rotate, |_| {}, "b a"),
        ("a b", rotate, rotate, "b a a"),
        ("a b", rotate, |w| set(w, "a", "x"), "x b a"),
    ];
    for (before, a_does, b_does, both_read) in cases {
        let [mut a, mut b] = stores();
        if !before.is_empty() {
            a.write(WALL - 1, 0, |w| push(w, "l", Right, before)).unwrap();
            exchange(&mut a, &mut b);
        }
        a.write(WALL, 0, a_does);
        b.write(WALL + 1, 0, b_does);
        exchange(&mut a, &mut b);
        assert_eq!((&*shown(&a, "l"), &*shown(&b, "l")), (both_read, both_read), "before: {before}");
    }
}

/// Elements of one command stay together, and a late joiner reads what all read.
#[test]
fn elements_of_one_command_stay_together_however_many() {
    let [mut a, mut b, mut c] = stores();
    let many = |from: u32| (from..from + 300).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
    a.write(WALL, 0, |w| push(w, "l", Right, "first last")).unwrap();
    exchange(&mut a, &mut b);
    a.write(WALL, 0, |w| push(w, "l", Left, &many(1_000))).unwrap();
    b.write(WALL, 0, |w| push(w, "l", Left, &many(2_000))).unwrap();
    a.write(WALL, 0, |w| push(w, "l", Right, &many(3_000))).unwrap();
    b.write(WALL, 0, |w| push(w, "l", Right, &many(4_000))).unwrap();
    exchange(&mut a, &mut b);
    assert!(transfer(&mut a, &mut c));
    let backwards = |from: u32| (from..from + 300).rev().map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
    let expected = [backwards(2_000), backwards(1_000), "first last".into(), many(3_000), many(4_000)].join(" ");
    for store in [&a, &b, &c] {
        assert_eq!(shown(store, "l"), expected);
    }
}

#[test]
fn a_list_without_elements_is_no_key_and_one_of_another_type_is_refused() {
    let [mut a, _] = stores::<2>();
    a.write(WALL, 0, |w| {
        assert_eq!(push(w, "l", Right, "a b c"), Ok(3));
        assert_eq!(w.take_ranks(b"l", 1..99), Ok(vec![b"b".to_vec(), b"c".to_vec()]));
        assert_eq!(w.take_ranks(b"l", 0..1), Ok(vec![b"a".to_vec()]));
        assert!(w.at(WALL).view(b"l").is_none() && w.is_empty());
        assert_eq!(w.take_ranks(b"l", 0..1), Ok(Vec::new()));
        assert_eq!(w.move_element((b"l", Left), (b"m", Right)), Ok(None));
        assert_eq!((w.set_element(b"l", 0, b"x"), w.insert_beside(b"l", 0, Left, b"x")), (Ok(false), Ok(None)));
        assert_eq!((w.remove_equal(b"l", b"a", Left, 1), w.trim(b"l", 0..1)), (Ok(0), Ok(())));
        w.set(b"text", b"t").unwrap();
        push(w, "l", Right, "a b").unwrap();
        let refused = WriteError::WrongType { found: Class::Text };
        assert_eq!(push(w, "text", Right, "a"), Err(refused));
        assert_eq!(w.take_ranks(b"text", 0..1), Err(refused));
        assert_eq!(w.move_element((b"l", Left), (b"text", Right)), Err(refused));
    });
    assert_eq!(shown(&a, "l"), "a b", "what is refused has changed nothing");
}

/// An element that is moved within its list never leaves that empty, so the list's deadline stays.
#[test]
fn a_list_keeps_its_deadline_while_its_only_element_is_moved_within() {
    let [mut a, mut b] = stores();
    a.write(WALL, 0, |w| push(w, "l", Right, "a")).unwrap();
    a.write(WALL, 0, |w| w.expire(b"l", Some(WALL + 100))).unwrap();
    a.write(WALL, 0, |w| w.move_element((b"l", Right), (b"l", Left))).unwrap();
    exchange(&mut a, &mut b);
    for store in [&a, &b] {
        assert_eq!((&*shown_at(store, "l", WALL + 99), &*shown_at(store, "l", WALL + 100)), ("a", ""));
    }
}

/// Of a list of which a part has expired, the rest is all there is, and what is put beside that stays in order.
#[test]
fn elements_that_have_expired_have_no_rank() {
    let [mut a, mut b] = stores();
    a.write(WALL, 0, |w| push(w, "l", Right, "a b c")).unwrap();
    exchange(&mut a, &mut b);
    a.write(WALL, 0, |w| w.expire(b"l", Some(WALL + 10))).unwrap();
    // It has not seen the deadline.
    b.write(WALL + 20, 0, |w| push(w, "l", Left, "late")).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(shown_at(&a, "l", WALL + 20), "late");
    a.write(WALL + 20, 0, |w| {
        assert_eq!(w.insert_beside(b"l", 1, Left, b"x"), Ok(None));
        assert_eq!(w.insert_beside(b"l", 0, Right, b"x"), Ok(Some(2)));
    });
    exchange(&mut a, &mut b);
    for store in [&a, &b] {
        assert_eq!(shown_at(store, "l", WALL + 20), "late x");
    }
}

#[test]
fn a_name_that_is_no_position_is_refused_and_leaves_no_trace() {
    let [mut of_names, _] = stores::<2>();
    of_names.write(WALL, 0, |w| push(w, "l", Right, "a")).unwrap();
    let view = of_names.at(WALL).view(b"l").unwrap();
    let position = view.ordered().get(0).unwrap().0.to_vec();
    let mut later = position.clone();
    later[3] += 1; // of a clock that its cell is before
    for name in [&b""[..], b"name", &position[1..], &position[..18], &[&position[..], &[1]].concat(), &later] {
        let [mut a, mut b] = stores();
        a.write(WALL, 0, |w| w.insert(b"l", Class::List, name, b"value")).unwrap();
        assert!(!transfer(&mut a, &mut b));
        let sealed = a.poll_sealed().unwrap();
        let refused = b.apply(Dot::new(a.id(), 1), &sealed.body);
        assert_eq!(refused, Err(EventError::Illegal("no position in a list")));
        assert!(b.is_empty() && b.version_vector().is_empty());
    }
    let [mut a, mut b] = stores();
    a.write(WALL + 1, 0, |w| w.insert(b"l", Class::List, &position, b"value")).unwrap();
    assert!(transfer(&mut a, &mut b));
}

/// A place can be too deep, and then only that place: nothing was changed, and the list takes elements elsewhere.
#[test]
fn elements_are_put_between_the_last_two_until_it_is_too_deep() {
    let [mut a, mut b] = stores();
    a.write(WALL, 0, |w| push(w, "l", Right, "a b")).unwrap();
    let mut refused = None;
    for number in 0..1_000 {
        let side = if number % 2 == 0 { Left } else { Right };
        let at = rank_of_last(&a);
        match a.write(WALL, 0, |w| w.insert_beside(b"l", at, side, b"x")) {
            Ok(len) => assert_eq!(len, Some(number + 3)),
            Err(error) => {
                refused = Some((number, error));
                break;
            }
        }
    }
    let (number, error) = refused.expect("positions have a maximum");
    assert_eq!(error, WriteError::TooDeep { max: 1024 });
    assert!((100..120).contains(&number), "after {number}");
    let len = a.at(WALL).view(b"l").unwrap().len();
    assert_eq!(len, number + 2);
    a.write(WALL, 0, |w| push(w, "l", Right, "c")).unwrap();
    a.write(WALL, 0, |w| w.insert_beside(b"l", 0, Right, b"y")).unwrap();
    exchange(&mut a, &mut b);
    assert_eq!(shown(&a, "l"), shown(&b, "l"));
    assert!(transfer(&mut a, &mut b));
}

/// The rank of the element that was put in last, beside which the next one is put.
fn rank_of_last(store: &Store) -> usize {
    let view = store.at(WALL).view(b"l").unwrap();
    let list = view.ordered();
    let newest = list.range(0..usize::MAX).enumerate().max_by_key(|(_, (name, _))| name.len());
    newest.map_or(0, |(rank, _)| rank)
}

/// After a restart the clock is that of what was loaded, whatever the wall clock says, also if nothing is left of what was
/// minted last: a position is never made twice, and what is pushed later is behind.
#[test]
fn a_clock_is_never_behind_the_positions_that_its_replica_made() {
    let [mut a, _] = stores::<2>();
    a.write(WALL, 0, |w| push(w, "l", Right, "x y")).unwrap();
    let last = |store: &Store| {
        let view = store.at(1).view(b"l").unwrap();
        let list = view.ordered();
        list.get(list.len() - 1).unwrap().0.to_vec()
    };
    let popped = last(&a);
    a.seal();
    a.write(WALL, 0, |w| w.take_ranks(b"l", 1..2)).unwrap();
    a.seal();
    let images: Vec<Vec<u8>> = (0..BUCKETS).map(|bucket| a.bucket_image(bucket)).collect();
    // By images alone, and by events alone.
    let mut by_images = Store::to_load(Limits::default());
    images.iter().for_each(|image| assert!(by_images.join_transfer(image).is_ok()));
    let mut by_events = Store::to_load(Limits::default());
    while let Some(sealed) = a.poll_sealed() {
        assert_eq!(by_events.apply(Dot::new(a.id(), sealed.seq), &sealed.body), Ok(Applied::Now));
    }
    for loaded in [by_images, by_events] {
        assert_eq!(loaded.clock(), a.clock());
        let mut loaded = loaded.loaded_as(a.id());
        loaded.resume(a.id(), Limits::default(), 1_000);
        loaded.write(1, 0, |w| push(w, "l", Right, "z")).unwrap();
        assert_eq!(shown_at(&loaded, "l", 1), "x z");
        assert!(last(&loaded) > popped, "behind what is gone, too");
    }
}

/// What a list costs while elements go through it.
#[derive(Debug, PartialEq)]
struct Cost {
    longest: usize,
    memory: usize,
    image: usize,
    event: usize,
}

/// Replicas in turn push at an end of a list of a hundred, and pop at the other. `CAHOOTS_LIST_OPS` says how often.
#[test]
fn positions_stay_short_while_elements_go_through_a_list() {
    let wanted = std::env::var("CAHOOTS_LIST_OPS").map_or(60_000, |wanted| wanted.parse().expect("a number"));
    let mut replicas: [Store; 3] = stores();
    let mut wall = WALL;
    replicas[0].write(wall, 0, |w| push(w, "l", Right, &["fill"; 100].join(" "))).unwrap();
    let spread = |replicas: &mut [Store; 3], from: usize| -> usize {
        replicas[from].seal();
        let (id, mut bytes) = (replicas[from].id(), 0);
        while let Some(sealed) = replicas[from].poll_sealed() {
            bytes = bytes.max(sealed.body.len());
            for to in (0..3).filter(|to| *to != from) {
                assert_eq!(replicas[to].apply(Dot::new(id, sealed.seq), &sealed.body), Ok(Applied::Now));
            }
        }
        bytes
    };
    spread(&mut replicas, 0);
    let mut costs: Vec<Cost> = Vec::new();
    let mut event = 0;
    for number in 0..wanted {
        wall += u64::from(number % 3 == 0);
        let (at, value) = (number % 3, u32::try_from(number).expect("not that many"));
        let (from, into) = if number / 50 % 2 == 0 { (Left, Right) } else { (Right, Left) };
        replicas[at].write(wall, 0, |w| {
            let popped = w.take_ranks(b"l", from.ranks(1, 100)).unwrap();
            assert_eq!(popped.len(), 1);
            assert_eq!(w.push(b"l", into, std::iter::once(&value.to_be_bytes()[..])), Ok(100));
        });
        event = event.max(spread(&mut replicas, at));
        if (number + 1) % (wanted / 10) == 0 {
            let store = &mut replicas[at];
            let view = store.at(wall).view(b"l").unwrap();
            let longest = view.ordered().range(0..100).map(|(name, _)| name.len()).max().unwrap();
            let image = (0..BUCKETS).map(|bucket| store.bucket_image(bucket).len()).max().unwrap();
            let memory = store.memory_of(b"l").unwrap();
            costs.push(Cost { longest, memory: memory.value + memory.metadata, image, event });
            event = 0;
        }
    }
    println!("{wanted} times: {costs:?}");
    let prints = replicas.each_mut().map(|store| store.fingerprint());
    assert!(prints[0] == prints[1] && prints[1] == prints[2]);
    for Cost { longest, memory, image, event } in costs {
        assert_eq!(longest, 19);
        // What grows is what numbers of events take: a byte each time they are 128 times as many.
        assert!(event <= 120, "an event of {event} bytes");
        assert!(image <= 100 * 60 + 200, "an image of {image} bytes");
        assert!(memory <= 100 * 64 + 2_000, "{memory} bytes of memory");
    }
}
