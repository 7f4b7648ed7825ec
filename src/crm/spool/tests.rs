use std::env;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("salara-spool-{}-{number}", std::process::id());
        Self(env::temp_dir().join(name))
    }

    fn open(&self) -> Spool {
        self.open_with(1 << 20)
    }

    fn open_with(&self, max: u64) -> Spool {
        Spool::open(&self.0, max).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(&self.0).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<String> = names.map(|e| name(e).into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn bytes(&self) -> u64 {
        let size = |name: &String| fs::metadata(self.0.join(name)).unwrap().len();
        self.files().iter().map(size).sum()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test owns its clock")]
    Instant::now()
}

fn put(spool: &mut Spool, n: usize, place: Place) -> u64 {
    let (id, call) = (format!("id-{n}"), format!("1.{}", n % 3));
    let body = format!(r#"{{"event":"Hangup","n":{n}}}"#);
    let entry = Entry {
        webhook_id: &id,
        call: &call,
        body: &body,
        accepted: 1_700_000_000 + n as u64,
    };
    spool.append(&entry, place, now()).unwrap()
}

/// The numbers behind `id-` of all that can be read back.
fn unread(spool: &mut Spool) -> Vec<usize> {
    let mut read = Vec::new();
    while let Some(restored) = spool.poll_unread() {
        let n: usize = restored
            .webhook_id
            .strip_prefix("id-")
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(*restored.call, format!("1.{}", n % 3));
        assert_eq!(*restored.body, format!(r#"{{"event":"Hangup","n":{n}}}"#));
        assert_eq!(restored.accepted, 1_700_000_000 + n as u64);
        read.push(n);
    }
    read
}

#[test]
fn what_is_appended_is_there_after_the_end_and_in_order() {
    let dir = Dir::new();
    let mut spool = dir.open();
    assert_eq!(dir.files(), [""; 0]);
    for n in 0..10 {
        let place = if n < 4 {
            Place::Memory
        } else {
            Place::DiskOnly
        };
        put(&mut spool, n, place);
    }
    assert_eq!(spool.unread(), 6);
    drop(spool);
    let mut spool = dir.open();
    assert_eq!(spool.unread(), 10, "memory is gone");
    assert_eq!(unread(&mut spool), (0..10).collect::<Vec<_>>());
    assert_eq!(spool.unread(), 0);
}

#[test]
fn what_is_in_memory_is_not_read_back() {
    let dir = Dir::new();
    let mut spool = dir.open();
    put(&mut spool, 0, Place::Memory);
    put(&mut spool, 1, Place::DiskOnly);
    put(&mut spool, 2, Place::Memory);
    assert_eq!(unread(&mut spool), [1]);
    // The file that is read is the one that is written.
    put(&mut spool, 3, Place::DiskOnly);
    put(&mut spool, 4, Place::Memory);
    put(&mut spool, 5, Place::DiskOnly);
    assert_eq!(unread(&mut spool), [3, 5]);
}

#[test]
fn what_is_done_does_not_come_back_and_an_empty_spool_is_an_empty_directory() {
    let dir = Dir::new();
    let mut spool = dir.open();
    let numbers: Vec<u64> = (0..10).map(|n| put(&mut spool, n, Place::Memory)).collect();
    for n in [0, 3, 9] {
        spool.done(numbers[n]);
    }
    assert!(spool.flush(now()).unwrap());
    assert!(!spool.flush(now()).unwrap());
    drop(spool);
    // In a later file, what is done in an earlier one.
    let mut spool = dir.open();
    let first = spool.poll_unread().unwrap();
    assert_eq!(&*first.webhook_id, "id-1");
    spool.done(first.number);
    assert!(spool.flush(now()).unwrap());
    assert_eq!(dir.files().len(), 2);
    drop(spool);
    let mut spool = dir.open();
    while let Some(restored) = spool.poll_unread() {
        assert!(!["id-0", "id-1", "id-3", "id-9"].contains(&&*restored.webhook_id));
        spool.done(restored.number);
    }
    assert_eq!(dir.files(), [""; 0]);
    assert!(spool.is_empty());
    assert!(!spool.flush(now()).unwrap(), "the files said it by going");
    assert_eq!(spool.poll_timeout(), None);
}

#[test]
fn files_go_one_by_one_the_oldest_first() {
    let dir = Dir::new();
    let mut spool = dir.open_with(1 << 20);
    let numbers: Vec<u64> = (0..200)
        .map(|n| put(&mut spool, n, Place::Memory))
        .collect();
    let all = dir.files().len();
    assert!(all > 3, "{all}");
    for number in numbers.iter().skip(1).rev() {
        spool.done(*number);
    }
    assert_eq!(
        dir.files().len(),
        all,
        "what says that they are done is in the later files"
    );
    spool.flush(now()).unwrap();
    spool.done(numbers[0]);
    assert_eq!(dir.files(), [""; 0]);
}

#[test]
fn what_does_not_fit_goes_the_oldest_first() {
    let dir = Dir::new();
    let mut spool = dir.open_with(8 * 1024);
    let mut gone = 0;
    let mut before = 0;
    let mut numbers = Vec::new();
    for n in 0..500 {
        numbers.push(put(&mut spool, n, Place::DiskOnly));
        while let Some(dropped) = spool.poll_dropped() {
            assert!(dropped.before > before && dropped.unread > 0, "{dropped:?}");
            before = dropped.before;
            gone += usize::try_from(dropped.unread).unwrap();
        }
        assert!(dir.bytes() <= 8 * 1024);
    }
    assert!(dir.bytes() > 6 * 1024);
    let kept: Vec<usize> = (gone..500).collect();
    assert_eq!(
        numbers.iter().filter(|number| **number < before).count(),
        gone
    );
    assert_eq!(unread(&mut spool), kept);
    drop(spool);
    // Less room than before: the same is done at the start.
    let mut spool = dir.open_with(4 * 1024);
    let unread = unread(&mut spool);
    assert!(unread.len() > 10 && unread.len() < kept.len() && unread.ends_with(&[498, 499]));
    assert!(dir.bytes() <= 4 * 1024 && spool.poll_dropped().is_some());
}

#[test]
fn another_cannot_have_it_at_the_same_time() {
    let dir = Dir::new();
    let spool = dir.open();
    assert!(matches!(Spool::open(&dir.0, 1), Err(OpenError::InUse)));
    drop(spool);
    drop(dir.open());
}

#[test]
fn a_changed_byte_anywhere_costs_one_event_at_most_and_never_their_order() {
    let dir = Dir::new();
    let mut spool = dir.open();
    let numbers: Vec<u64> = (0..8).map(|n| put(&mut spool, n, Place::Memory)).collect();
    spool.done(numbers[2]);
    spool.flush(now()).unwrap();
    drop(spool);
    let file = dir.0.join(&dir.files()[0]);
    let whole = fs::read(&file).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x81;
        fs::write(&file, &bytes).unwrap();
        let read = unread(&mut dir.open());
        assert!(read.is_sorted(), "byte {at}: {read:?}");
        let missing = [0, 1, 3, 4, 5, 6, 7]
            .iter()
            .filter(|n| !read.contains(n))
            .count();
        // Event 2 again: what said that it is done was hit. That costs a repetition.
        assert!(
            missing <= 1 && missing + usize::from(read.contains(&2)) <= 1,
            "byte {at}"
        );
    }
    for end in 0..whole.len() {
        fs::write(&file, &whole[..end]).unwrap();
        let read = unread(&mut dir.open());
        assert!(
            read.is_sorted() && read.iter().all(|n| *n < 8),
            "cut at {end}"
        );
        if read.is_empty() {
            assert!(!file.exists(), "nothing is left to wait for");
        }
    }
}

#[test]
fn what_is_not_ours_stays_and_is_not_counted() {
    let dir = Dir::new();
    drop(dir.open());
    let names = [
        "README",
        "1.spool",
        "00000003.spool.bak",
        "x.spool",
        "-0000001.spool",
    ];
    for name in names {
        fs::write(dir.0.join(name), "theirs").unwrap();
    }
    fs::create_dir(dir.0.join("00000009.spool")).unwrap();
    let long = File::create(dir.0.join("00000005.spool")).unwrap();
    long.set_len(1 << 30).unwrap();
    let mut spool = dir.open();
    assert!(spool.is_empty());
    let number = put(&mut spool, 0, Place::Memory);
    assert!(dir.files().contains(&"00000010.spool".to_owned()));
    spool.done(number);
    assert_eq!(dir.files().len(), names.len() + 2);
}

#[test]
fn a_directory_that_was_tidied_away_is_made_again() {
    let dir = Dir::new();
    let mut spool = dir.open();
    fs::remove_dir_all(&dir.0).unwrap();
    let number = put(&mut spool, 0, Place::Memory);
    assert_eq!(dir.files().len(), 1);
    spool.done(number);
    assert_eq!(dir.files(), [""; 0]);
}

#[test]
fn what_is_still_there_after_a_second_is_to_be_made_safe() {
    let dir = Dir::new();
    let mut spool = dir.open();
    assert_eq!(spool.poll_timeout(), None);
    let start = now();
    let number = put(&mut spool, 0, Place::Memory);
    let due = spool.poll_timeout().unwrap();
    assert!(due >= start + Duration::from_secs(1) && due <= now() + Duration::from_secs(1));
    put(&mut spool, 1, Place::Memory);
    assert_eq!(spool.poll_timeout(), Some(due), "the first write counts");
    spool.handle_timeout(due);
    assert_eq!(spool.poll_timeout(), None);
    spool.done(number);
    spool.flush(due).unwrap();
    assert!(spool.poll_timeout().is_some());
    spool.close(due);
}

#[test]
fn a_spool_of_any_history_gives_back_exactly_what_is_not_done() {
    for seed in 0..64_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = |limit: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random >> 20) % limit
        };
        let dir = Dir::new();
        let mut spool = dir.open();
        let mut told = 0;
        // What an observer knows: in memory with their numbers, on disk only, done but not flushed.
        let (mut memory, mut disk): (Vec<(usize, u64)>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut unsure: Vec<usize> = Vec::new();
        for _ in 0..300 {
            match below(10) {
                0..=3 if disk.is_empty() && below(3) > 0 => {
                    memory.push((told, put(&mut spool, told, Place::Memory)));
                    told += 1;
                }
                0..=3 => {
                    put(&mut spool, told, Place::DiskOnly);
                    disk.push(told);
                    told += 1;
                }
                4..=6 if !memory.is_empty() => {
                    let at = usize::try_from(below(memory.len() as u64)).unwrap();
                    let (n, number) = memory.remove(at);
                    spool.done(number);
                    unsure.push(n);
                }
                7 => {
                    spool.flush(now()).unwrap();
                    unsure.clear();
                }
                8 => {
                    let back = spool.poll_unread();
                    let n = back
                        .as_ref()
                        .map(|back| back.webhook_id[3..].parse().unwrap());
                    assert_eq!(n, disk.first().copied(), "seed {seed}");
                    if let (Some(n), Some(back)) = (n, back) {
                        disk.remove(0);
                        memory.push((n, back.number));
                    }
                }
                9 if below(6) == 0 => {
                    // Killed and started again.
                    drop(spool);
                    spool = dir.open();
                    let mut wanted: Vec<usize> = memory.drain(..).map(|(n, _)| n).collect();
                    wanted.append(&mut disk);
                    wanted.sort_unstable();
                    assert_eq!(spool.poll_dropped(), None);
                    let mut found = 0;
                    while let Some(back) = spool.poll_unread() {
                        let n: usize = back.webhook_id[3..].parse().unwrap();
                        if wanted.get(found) == Some(&n) {
                            found += 1;
                        } else {
                            assert!(unsure.contains(&n), "seed {seed}: {n}");
                        }
                        memory.push((n, back.number));
                    }
                    assert_eq!(found, wanted.len(), "seed {seed}");
                    unsure.clear();
                }
                _ => {}
            }
            assert_eq!(spool.unread(), disk.len() as u64, "seed {seed}");
        }
        while let Some(back) = spool.poll_unread() {
            memory.push((0, back.number));
        }
        for (_, number) in memory {
            spool.done(number);
        }
        assert_eq!(dir.files(), [""; 0], "seed {seed}");
    }
}
