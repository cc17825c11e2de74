//! Tables for what is decided.

use super::*;

fn link(number: u64, parent: Option<u64>) -> Link {
    let id = |number: u64| -> BackupId {
        let name = format!("2026-01-31_00-00-0{number}");
        let path = if number == 0 { format!("base/{name}") } else { format!("incr/2026-01-31_00-00-00/{name}") };
        path.parse().unwrap()
    };
    Link {
        backup: id(number),
        directory: directory(usize::try_from(number).unwrap()),
        from: StoreName::Local,
        files: BTreeMap::new(),
        form: Form::Ours {
            stream_bytes: 1,
            manifest_sha256: format!("sum{number}"),
            parent: parent.map(|parent| Parent { backup: id(parent), manifest_sha256: format!("sum{parent}") }),
        },
        least_bytes: 1,
        redo_bytes: 1,
        lsn: LsnRange { from: parent.map_or(0, |parent| parent * 10 + 10), to: number * 10 + 10, last: 99 },
        position: None,
        server_version: "10.11.9-MariaDB".to_owned(),
    }
}

fn refusal(links: &[Link]) -> String {
    check_chain(links).map_err(|error| error.to_string()).err().unwrap_or_default()
}

#[test]
fn a_chain_is_one_only_link_by_link() {
    let (base, one, two) = (link(0, None), link(1, Some(0)), link(2, Some(1)));
    assert_eq!(refusal(std::slice::from_ref(&base)), "");
    assert_eq!(refusal(&[base.clone(), one.clone(), two.clone()]), "");
    assert!(refusal(&[base.clone(), two.clone()]).contains("not on 2026-01-31_00-00-00"));
    assert!(refusal(&[base.clone(), two.clone(), one.clone()]).contains("no chain"));
    assert!(refusal(&[base.clone(), one.clone(), one.clone()]).contains("no chain"));
    assert!(refusal(std::slice::from_ref(&one)).contains("which is not below it"));
    let mut other = one.clone();
    other.lsn.from = 11;
    assert!(refusal(&[base.clone(), other]).contains("begins at 11 of the redo"));
    let made_again = Form::Ours { stream_bytes: 1, manifest_sha256: "made again".to_owned(), parent: None };
    assert!(refusal(&[Link { form: made_again.clone(), ..base.clone() }, one.clone()]).contains("builds on another"));
    assert!(refusal(&[base, Link { form: made_again, ..one }]).contains("builds on nothing"));
}

#[test]
fn a_chain_of_the_original_is_one_by_its_redo_and_never_mixed_with_ours() {
    let original = |number, parent| Link { form: Form::Original { key: None }, ..link(number, parent) };
    let (base, one, two) = (original(0, None), original(1, Some(0)), original(2, Some(1)));
    assert_eq!(refusal(&[base.clone(), one.clone(), two.clone()]), "");
    assert!(
        refusal(&[base.clone(), two.clone()]).contains("begins at 20 of the redo, and 2026-01-31_00-00-00 ends at 10")
    );
    assert!(refusal(&[base.clone(), two.clone(), one.clone()]).contains("no chain"));
    assert!(refusal(&[base.clone(), one.clone(), one.clone()]).contains("no chain"));
    let [quiet, quieter] =
        [&one, &two].map(|link| Link { lsn: LsnRange { from: 10, to: 10, last: 99 }, ..link.clone() });
    assert_eq!(refusal(&[base.clone(), quiet.clone(), quieter.clone()]), "");
    assert!(
        refusal(&[base.clone(), quieter, quiet]).contains("is not newer than 2026-01-31_00-00-00/2026-01-31_00-00-02")
    );
    assert!(refusal(std::slice::from_ref(&one)).contains("nothing is below it"));
    assert!(refusal(&[link(0, None), one]).contains("made by another product"));
    assert!(refusal(&[base, link(1, Some(0))]).contains("made by another product"));
}

#[test]
fn memory_goes_by_the_redo_and_never_beyond_the_container() {
    const MIB: u64 = 1 << 20;
    assert_eq!(memory(Some(7), 1, None), 7);
    assert_eq!(memory(None, MIB, None), 96 * MIB);
    assert_eq!(memory(None, 200 * MIB, None), 600 * MIB);
    assert_eq!(memory(None, 8000 * MIB, None), 1024 * MIB);
    assert_eq!(memory(None, 8000 * MIB, Some(2304 * MIB)), 1536 * MIB);
    assert_eq!(memory(None, 8000 * MIB, Some(1 << 40)), 4096 * MIB);
    assert_eq!(memory(None, 8000 * MIB, Some(100 * MIB)), 96 * MIB);
}

#[test]
fn only_names_of_this_work_are_ours() {
    for ours in ["base", "run", "inc-1", "inc-42"] {
        assert!(is_ours(ours), "{ours}");
    }
    for other in ["", "inc-", "inc-1a", "incr", "lost+found", "data", "base2", ".."] {
        assert!(!is_ours(other), "{other}");
    }
}

#[test]
fn a_result_keeps_as_many_whole_rows_as_fit() {
    let columns = || vec!["n".to_owned()];
    let rows = |count: usize, text: &str| Rows {
        columns: columns(),
        rows: vec![vec![text.to_owned()]; count],
        has_more: false,
    };
    let few = bounded(rows(3, "x"));
    assert_eq!((few.rows.len(), few.truncated), (3, false));
    for text in ["x", "\u{1}\u{1}\u{1}", &"\"".repeat(200)] {
        let many = bounded(rows(2000, text));
        assert!(many.truncated && !many.rows.is_empty());
        assert!(serde_json::to_string(&(&many.columns, &many.rows)).unwrap().len() <= QUERY_BYTES + 5);
    }
    let none = QueryResult { columns: columns(), rows: Vec::new(), truncated: true };
    assert_eq!(bounded(rows(1, &"\u{1}".repeat(2000))), none);
    let nameless = bounded(Rows { columns: vec!["x".repeat(QUERY_BYTES)], ..rows(1, "x") });
    assert_eq!((nameless.columns.len(), nameless.rows.len()), (0, 1));
}

#[test]
fn a_server_of_another_series_is_refused_and_one_that_cannot_be_read_is_not() {
    let links = [link(0, None)];
    let said = |version: &str| check_series(&links, version).map_err(|error| error.to_string()).err();
    assert_eq!((said("10.11.21-MariaDB-log"), said("who knows")), (None, None));
    let refused = said("11.4.2-MariaDB").unwrap();
    assert!(refused.contains("10.11.9-MariaDB, and this one is 11.4.2-MariaDB"), "{refused}");
}
