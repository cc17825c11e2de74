use proptest::prelude::*;

use super::*;
use crate::model::catalogue::{Entry, Presence};

const DAY: i64 = 86_400;
const WEEK: Duration = Duration::from_hours(7 * 24);

/// The moment `day` days after the first backup of these tests.
fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_780_000_000 + day * DAY).unwrap()
}

fn full(day: i64) -> BackupId {
    BackupId::Full(BackupName::at(at(day)))
}

fn increment(base: i64, day: i64) -> BackupId {
    BackupId::Incremental { base: BackupName::at(at(base)), name: BackupName::at(at(day)) }
}

fn catalogue(backups: &[BackupId]) -> Catalogue {
    let entries = backups.iter().map(|backup| (backup.clone(), Entry::default())).collect();
    Catalogue { entries, ..Catalogue::default() }
}

#[test]
fn a_chain_goes_from_its_base_up_to_the_backup_and_no_further() {
    let catalogue = catalogue(&[full(0), increment(0, 1), increment(0, 2), increment(0, 3), full(4), increment(4, 5)]);
    assert_eq!(of(&catalogue, &increment(0, 2)), Ok(vec![full(0), increment(0, 1), increment(0, 2)]));
    assert_eq!(of(&catalogue, &full(4)), Ok(vec![full(4)]));
}

#[test]
fn a_chain_follows_what_is_recorded_rather_than_the_order_of_names() {
    let mut catalogue = catalogue(&[full(0), increment(0, 1), increment(0, 2)]);
    catalogue.known(&increment(0, 2)).unwrap().parent = Some(full(0).name().clone());
    assert_eq!(of(&catalogue, &increment(0, 2)), Ok(vec![full(0), increment(0, 2)]));
    assert_eq!(needs(&catalogue, &increment(0, 1)), []);
}

#[test]
fn a_member_that_cannot_be_relied_on_is_named() {
    let spoilt = [
        (Entry { quarantined: Some(at(9)), ..Entry::default() }, Trouble::Quarantined),
        (Entry { removing: Some(at(9)), ..Entry::default() }, Trouble::Removing),
        (Entry { local: Presence::Missing, ..Entry::default() }, Trouble::Missing),
        (Entry { local: Presence::Damaged, ..Entry::default() }, Trouble::Damaged),
    ];
    for (entry, trouble) in spoilt {
        let mut catalogue = catalogue(&[full(0), increment(0, 1), increment(0, 2)]);
        *catalogue.known(&increment(0, 1)).unwrap() = entry;
        assert_eq!(of(&catalogue, &increment(0, 2)), Err(BrokenChain { member: increment(0, 1), trouble }));
        assert_eq!(of(&catalogue, &full(0)), Ok(vec![full(0)]));
    }
    let gap = catalogue(&[increment(0, 1)]);
    let broken = of(&gap, &increment(0, 1)).unwrap_err();
    assert_eq!(broken.to_string(), "2026-05-28_20-26-40 of the chain is not in the catalogue");
}

#[test]
fn a_backup_damaged_on_the_volume_is_relied_on_while_s3_has_it() {
    let mut catalogue = catalogue(&[full(0)]);
    let entry = catalogue.known(&full(0)).unwrap();
    (entry.local, entry.s3, entry.damaged) = (Presence::Damaged, Presence::Present, Some(at(1)));
    assert_eq!(of(&catalogue, &full(0)), Ok(vec![full(0)]));
    assert_eq!(catalogue.trouble(&full(0), StoresWish::Local), Some(Trouble::Damaged));
}

#[test]
fn an_increment_builds_on_the_newest_of_the_newest_chain() {
    let catalogue = catalogue(&[full(0), increment(0, 1), full(2), increment(2, 3), increment(2, 4)]);
    let parent = parent_for_increment(&catalogue, at(5), WEEK, StoresWish::Local);
    assert_eq!(parent, Ok((full(2).name().clone(), increment(2, 4))));
}

#[test]
fn why_a_backup_has_to_be_full_is_said() {
    let good = catalogue(&[full(0), increment(0, 1)]);
    let with = |spoil: fn(&mut Entry), id: &BackupId| {
        let mut catalogue = good.clone();
        spoil(catalogue.known(id).unwrap());
        catalogue
    };
    let newest = "the newest backup 2026-05-29_20-26-40 is not older than this moment, so the clock was set back";
    let cases = [
        (Catalogue::default(), at(2), "there is no full backup yet"),
        (good.clone(), at(7), "the newest full backup 2026-05-28_20-26-40 is older than 7d"),
        (good.clone(), at(1), newest),
        (
            with(|entry| entry.quarantined = Some(at(1)), &full(0)),
            at(2),
            "no full backup can be relied on: 2026-05-28_20-26-40 is quarantined",
        ),
        (
            with(|entry| entry.local = Presence::Damaged, &increment(0, 1)),
            at(2),
            "2026-05-28_20-26-40/2026-05-29_20-26-40 of the chain is damaged",
        ),
        (
            with(|entry| entry.removing = Some(at(1)), &increment(0, 1)),
            at(2),
            "2026-05-28_20-26-40/2026-05-29_20-26-40 of the chain is being removed",
        ),
    ];
    for (catalogue, now, why) in cases {
        assert_eq!(parent_for_increment(&catalogue, now, WEEK, StoresWish::Local), Err(why.to_owned()));
    }
    let why = "no full backup can be relied on: 2026-05-28_20-26-40 is whole in no store that is used";
    assert_eq!(parent_for_increment(&good, at(2), WEEK, StoresWish::S3), Err(why.to_owned()));
}

#[test]
fn a_full_backup_from_the_future_is_not_built_on() {
    let why = "the newest backup 2026-06-02_20-26-40 is not older than this moment, so the clock was set back";
    let catalogue = catalogue(&[full(0), full(5)]);
    assert_eq!(parent_for_increment(&catalogue, at(1), WEEK, StoresWish::Local), Err(why.to_owned()));
}

#[test]
fn a_cycle_is_written_in_its_largest_unit() {
    for (seconds, text) in [(0, "0s"), (59, "59s"), (90, "90s"), (7_200, "2h"), (604_800, "7d"), (25 * 3_600, "25h")] {
        assert_eq!(words(Duration::from_secs(seconds)), text);
    }
}

/// Any catalogue: some days have a full backup, the others an increment of the last, some are spoilt.
fn any_catalogue() -> impl Strategy<Value = Catalogue> {
    let day = (0..4u8, 0..12u8, proptest::option::of(1..4i64));
    proptest::collection::vec(day, 0..20).prop_map(|days| {
        let mut made = Catalogue::default();
        let mut base = None;
        for (day, (kind, fate, back)) in (0..).zip(days) {
            let id = match base {
                Some(base) if kind > 0 => increment(base, day),
                _ => full(day),
            };
            base = Some(id.base().map_or(day, |_| base.unwrap_or(day)));
            let parent = back.filter(|_| id.base().is_some()).map(|back| BackupName::at(at((day - back).max(0))));
            let mut entry = Entry { parent, ..Entry::default() };
            match fate {
                0 => entry.local = Presence::Damaged,
                1 => entry.local = Presence::Missing,
                2 => entry.removing = Some(at(30)),
                3 => continue,
                _ => {}
            }
            made.entries.insert(id, entry);
        }
        made
    })
}

proptest! {
    #[test]
    fn a_chain_begins_with_its_base_ends_with_the_backup_and_only_has_what_is_usable(catalogue in any_catalogue()) {
        for id in catalogue.backups() {
            let Ok(chain) = of(&catalogue, &id) else { continue };
            let base = id.base().cloned().unwrap_or_else(|| id.name().clone());
            prop_assert_eq!(chain.first(), Some(&BackupId::Full(base)));
            prop_assert_eq!(chain.last(), Some(&id));
            prop_assert!(chain.is_sorted_by(|a, b| a.name() < b.name()));
            prop_assert!(chain.iter().all(|member| catalogue.trouble(member, StoresWish::Both).is_none()));
        }
    }

    #[test]
    fn what_needs_a_backup_is_what_has_it_in_its_chain(catalogue in any_catalogue()) {
        for id in catalogue.backups() {
            let needing = needs(&catalogue, &id);
            prop_assert!(needing.is_sorted_by(|a, b| a.name() > b.name()), "children first");
            for other in catalogue.backups() {
                let Ok(chain) = of(&catalogue, &other) else { continue };
                prop_assert_eq!(needing.contains(&other), other != id && chain.contains(&id));
            }
        }
    }

    #[test]
    fn whatever_is_built_on_has_a_whole_chain_and_is_the_past(catalogue in any_catalogue(), day in 0..25i64) {
        if let Ok((base, parent)) = parent_for_increment(&catalogue, at(day), WEEK, StoresWish::Local) {
            let chain = of(&catalogue, &parent);
            prop_assert_eq!(chain.as_ref().map(|chain| chain[0].name()), Ok(&base));
            prop_assert!(parent.name().time() < at(day));
            prop_assert!(base.time() > at(day - 7));
        }
    }
}
