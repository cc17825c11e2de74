//! Streams made by hand, whole and damaged.

use proptest::prelude::*;

use super::*;
use crate::model::manifest::REQUIRED_DATA_MEMBERS;

const REWRITE: u8 = 2;

/// A position as the tool writes it.
const POSITION: &str = "5b2c7e4c-f1d0-11ef-8a4c-0242ac110002:4711 1-2-3\n";

fn chunk(flags: u8, kind: u8, path: &str, tail: &[u8]) -> Vec<u8> {
    let mut bytes = b"XBSTCK01".to_vec();
    bytes.extend([flags, kind]);
    bytes.extend(u32::try_from(path.len()).unwrap().to_le_bytes());
    bytes.extend(path.as_bytes());
    bytes.extend(tail);
    bytes
}

pub(in crate::work) fn payload(path: &str, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut tail = (data.len() as u64).to_le_bytes().to_vec();
    tail.extend(offset.to_le_bytes());
    tail.extend(crc32fast::hash(data).to_le_bytes());
    tail.extend(data);
    chunk(0, b'P', path, &tail)
}

pub(in crate::work) fn end(path: &str) -> Vec<u8> {
    chunk(0, b'E', path, &[])
}

/// The smallest stream that counts as whole, after `extra`.
pub(in crate::work) fn whole_stream(extra: &[u8]) -> Vec<u8> {
    let checkpoints = "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 47\nlast_lsn = 51\n";
    stream_of(extra, &[("ibdata1", "tablespace")], checkpoints)
}

/// The smallest stream that counts as a whole one of the original: a full backup where it begins at 0.
pub(in crate::work) fn whole_stream_of_the_original(from: u64, to: u64) -> Vec<u8> {
    let (kind, data): (_, &[(&str, &str)]) = match from {
        0 => ("full-backuped", &[("ibdata1", "tablespace")]),
        _ => ("incremental", &[("ibdata1.delta", "pages"), ("ibdata1.meta", "page_size = 16384\n")]),
    };
    let checkpoints = format!("backup_type = {kind}\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {}\n", to + 4);
    let all = stream_of(&[], data, &checkpoints);
    // It did not ask for the position.
    let position = [payload("xtrabackup_galera_info", 0, POSITION.as_bytes()), end("xtrabackup_galera_info")].concat();
    let at = all.windows(position.len()).position(|part| part == position).unwrap();
    [&all[..at], &all[at + position.len()..]].concat()
}

/// The smallest stream that counts as a whole increment.
pub(in crate::work) fn whole_increment(from: u64, to: u64) -> Vec<u8> {
    let checkpoints = format!("backup_type = incremental\nfrom_lsn = {from}\nto_lsn = {to}\nlast_lsn = {to}\n");
    stream_of(&[], &[("ibdata1.delta", "pages"), ("ibdata1.meta", "page_size = 16384\n")], &checkpoints)
}

fn stream_of(extra: &[u8], data: &[(&str, &str)], checkpoints: &str) -> Vec<u8> {
    let mut stream = extra.to_vec();
    let always = [
        ("ib_logfile0", "redo"),
        ("backup-my.cnf", "[mysqld]"),
        ("xtrabackup_galera_info", POSITION),
        ("xtrabackup_checkpoints", checkpoints),
        ("xtrabackup_info", "tool_name = mariadb-backup\n"),
    ];
    for (path, data) in data.iter().chain(&always) {
        stream.extend(payload(path, 0, data.as_bytes()));
        stream.extend(end(path));
    }
    stream
}

fn check(stream: &[u8]) -> Result<Contents, StreamError> {
    let mut checker = Checker::demanding(&REQUIRED_DATA_MEMBERS);
    checker.feed(stream)?;
    checker.finish()
}

#[test]
fn a_whole_stream_tells_its_members_and_the_tools_files() {
    let extra = [payload("shop/orders.ibd", 0, b"abc"), payload("shop/orders.ibd", 3, b"de"), end("shop/orders.ibd")];
    let stream = whole_stream(&extra.concat());
    let contents = check(&stream).unwrap();
    assert_eq!(contents.bytes, stream.len() as u64);
    assert_eq!(contents.members["shop/orders.ibd"], 5);
    assert_eq!(contents.members.len(), 7);
    assert!(contents.tool_files[&ToolFile::GaleraInfo].starts_with(b"5b2c7e4c"));
}

#[test]
fn a_stream_cut_anywhere_is_not_whole() {
    let stream = whole_stream(&[]);
    for length in 0..stream.len() {
        assert!(check(&stream[..length]).is_err(), "{length}");
    }
}

#[test]
fn a_flipped_bit_in_payload_is_found() {
    let stream = whole_stream(&payload("a", 0, &[7; 1000]));
    let mut damaged = stream.clone();
    damaged[500] ^= 1;
    assert!(matches!(check(&damaged), Err(StreamError::BadChecksum { path, .. }) if path == "a"));
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["../etc/passwd", "/etc/passwd", "a/../../b", "a//b", "", "a/", "..", "a\0b", &"x".repeat(512)] {
        let stream = whole_stream(&payload(path, 0, b"x"));
        assert!(matches!(check(&stream), Err(StreamError::BadPath { .. })), "{path}");
    }
    let renamed = [payload("a", 0, b"x"), chunk(0, b'R', "a", &[&4u32.to_le_bytes()[..], b"../b"].concat())].concat();
    assert!(matches!(check(&whole_stream(&renamed)), Err(StreamError::BadPath { .. })));
}

#[test]
fn payload_must_continue_its_open_member() {
    let gap = [payload("a", 0, b"abc"), payload("a", 4, b"d")].concat();
    let expected = StreamError::OutOfOrder { path: "a".to_owned(), expected: 3, found: 4 };
    assert_eq!(check(&whole_stream(&gap)), Err(expected));
    let after_end = [payload("a", 0, b"abc"), end("a"), payload("a", 3, b"d")].concat();
    assert_eq!(check(&whole_stream(&after_end)), Err(StreamError::NotOpen { path: "a".to_owned() }));
}

#[test]
fn rename_removal_seek_and_rewriting_are_followed_like_the_stock_unpacker_does() {
    let rename = chunk(0, b'R', "a", &[&1u32.to_le_bytes()[..], b"b"].concat());
    let mut rewritten = payload("r", 0, b"new");
    rewritten[8] = REWRITE;
    let extra = [
        payload("a", 0, b"abc"),
        end("a"),
        rename,
        payload("d", 0, b"x"),
        end("d"),
        chunk(0, b'D', "d", &[]),
        payload("s", 0, b"hello"),
        chunk(0, b'S', "s", &2u64.to_le_bytes()),
        payload("s", 2, b"XX"),
        end("s"),
        payload("r", 0, b"longer"),
        end("r"),
        rewritten,
        end("r"),
        end("empty"),
    ];
    let members = check(&whole_stream(&extra.concat())).unwrap().members;
    let found: Vec<_> = members.iter().filter(|(path, _)| path.len() == 1 || *path == "empty").collect();
    let expected = [("b", 3), ("empty", 0), ("r", 3), ("s", 5)];
    assert!(found.iter().map(|(path, length)| (path.as_str(), **length)).eq(expected), "{found:?}");
}

#[test]
fn unknown_chunks_are_skipped_only_when_they_allow_it() {
    let tail = [&3u64.to_le_bytes()[..], &[0; 12], b"xyz"].concat();
    assert!(check(&whole_stream(&chunk(1, b'Q', "a", &tail))).is_ok());
    let refused = check(&whole_stream(&chunk(0, b'Q', "a", &tail)));
    assert_eq!(refused, Err(StreamError::UnknownKind { kind: b'Q', at: 0 }));
}

#[test]
fn a_small_file_that_is_not_small_is_refused() {
    let stream = payload("xtrabackup_info", 0, &vec![0; TOOL_FILE_LIMIT + 1]);
    assert!(matches!(check(&stream), Err(StreamError::TooMuch { .. })));
}

proptest! {
    #[test]
    fn any_split_of_the_input_gives_the_same_result(
        mut cuts in prop::collection::vec(0usize..700, 0..12),
        flip in prop::option::of(0usize..700),
    ) {
        let mut stream = whole_stream(&[payload("a", 0, b"abc"), payload("a", 3, b""), end("a")].concat());
        if let Some(at) = flip {
            let at = at % stream.len();
            stream[at] ^= 0x20;
        }
        for cut in &mut cuts {
            *cut %= stream.len();
        }
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut checker = Checker::demanding(&REQUIRED_DATA_MEMBERS);
        let fed = cuts.windows(2).try_for_each(|pair| checker.feed(&stream[pair[0]..pair[1]]));
        let split = fed.and_then(|()| checker.finish());
        prop_assert_eq!(split, check(&stream));
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in any::<u8>(), flags in any::<u8>()) {
        let _ = check(&bytes);
        let _ = check(&chunk(flags, kind, "a", &bytes));
    }
}

/// Numbers that lie at the edges of what a length or an offset can be.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, Just(u64::MAX), Just(u64::MAX - 1), Just(1 << 63), Just(u64::from(u32::MAX)), any::<u64>()]
}

fn hostile_path() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec!["a", "shop/orders.ibd", "xtrabackup_info", "ibdata1", "../a", "/a", "", "a/", "."])
            .prop_map(str::to_owned),
        ".{0,20}",
        Just("x".repeat(511)),
        Just("x".repeat(513)),
    ]
}

/// Chunks of every kind whose numbers are lies more often than not.
fn hostile_chunk() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(b"PSERDQ\0".to_vec());
    let data = prop::collection::vec(any::<u8>(), 0..40);
    (0..4_u8, kind, hostile_path(), number(), number(), data, any::<bool>()).prop_map(
        |(flags, kind, path, length, offset, data, honest)| {
            let tail = match kind {
                _ if honest => return payload(&path, offset, &data),
                b'P' | b'Q' => {
                    let sum = crc32fast::hash(&data).to_le_bytes();
                    [&length.to_le_bytes()[..], &offset.to_le_bytes(), &sum, &data].concat()
                }
                b'R' => [&u32::try_from(length % 600).unwrap().to_le_bytes()[..], &data].concat(),
                _ => length.to_le_bytes().to_vec(),
            };
            chunk(flags, kind, &path, &tail)
        },
    )
}

proptest! {
    #[test]
    fn a_hostile_stream_is_refused_or_stays_inside_a_data_directory(
        chunks in prop::collection::vec(hostile_chunk(), 0..12),
        at_front in any::<bool>(),
    ) {
        let stream = if at_front { whole_stream(&chunks.concat()) } else { [whole_stream(&[]), chunks.concat()].concat() };
        if let Ok(contents) = check(&stream) {
            prop_assert_eq!(contents.bytes, stream.len() as u64);
            for path in contents.members.keys() {
                prop_assert!(!path.starts_with('/') && path.split('/').all(|part| !["", ".."].contains(&part)), "{path}");
            }
            let kept: usize = contents.tool_files.values().map(Vec::len).sum();
            prop_assert!(kept <= stream.len());
        }
    }

    #[test]
    fn bytes_that_are_no_stream_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0..200_usize) {
        prop_assert!(check(&bytes).is_err());
        let whole = whole_stream(&[]);
        let cut = cut.min(whole.len() - 1);
        prop_assert!(check(&[&whole[..cut], &bytes].concat()).is_err());
    }
}

/// Writes down what it is told.
#[derive(Default)]
struct Told(Vec<String>);

impl Members for Told {
    type Error = StreamError;

    fn begin(&mut self, path: &str, anew: bool) -> Result<(), StreamError> {
        self.0.push(format!("{} {path}", if anew { "anew" } else { "begin" }));
        Ok(())
    }

    fn write(&mut self, path: &str, offset: u64, bytes: &[u8]) -> Result<(), StreamError> {
        self.0.push(format!("write {path} {offset}+{}", bytes.len()));
        Ok(())
    }

    fn close(&mut self, path: &str, length: u64) -> Result<(), StreamError> {
        self.0.push(format!("close {path} {length}"));
        Ok(())
    }

    fn rename(&mut self, path: &str, to: &str) -> Result<(), StreamError> {
        self.0.push(format!("rename {path} {to}"));
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), StreamError> {
        self.0.push(format!("remove {path}"));
        Ok(())
    }
}

#[test]
fn whoever_unpacks_is_told_everything_once_and_in_order() {
    let mut rewritten = payload("r", 0, b"new");
    rewritten[8] = REWRITE;
    let stream = [
        payload("a", 0, b"abc"),
        chunk(0, b'S', "a", &7_u64.to_le_bytes()),
        payload("a", 7, b"d"),
        end("a"),
        end("a"),
        chunk(0, b'R', "a", &[&1u32.to_le_bytes()[..], b"b"].concat()),
        payload("r", 0, b"old"),
        end("r"),
        rewritten,
        end("r"),
        end("empty"),
        payload("hole", 0, b"x"),
        chunk(0, b'S', "hole", &9_u64.to_le_bytes()),
        end("hole"),
        chunk(0, b'D', "b", &[]),
        chunk(0, b'D', "never", &[]),
    ];
    let mut told = Told::default();
    Checker::demanding(&[]).feed_to(&stream.concat(), &mut told).unwrap();
    let expected = "begin a, write a 0+3, write a 7+1, close a 8, rename a b, begin r, write r 0+3, close r 3, anew r, \
                    write r 0+3, close r 3, begin empty, close empty 0, begin hole, write hole 0+1, close hole 9, remove b";
    assert_eq!(told.0.join(", "), expected);
}
