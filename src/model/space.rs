//! How much room a backup needs, and whether it is there.

use super::bytes;

/// Room on a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes an unprivileged process can still write.
    pub free_bytes: u64,
    /// Bytes the data takes now, without compression.
    pub data_bytes: u64,
}

/// Not enough room for a backup.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "needs {} free ({} of data x {ratio}), found {}",
    bytes::human(*.needed_bytes), bytes::human(*.data_bytes), bytes::human(*.free_bytes)
)]
pub struct NotEnoughRoom {
    /// What the rule asks for.
    pub needed_bytes: u64,
    /// What the data takes.
    pub data_bytes: u64,
    /// The factor between the two.
    pub ratio: f64,
    /// What is free.
    pub free_bytes: u64,
}

/// Checks that a volume has `ratio` times the size of the data free.
///
/// The data's size is taken uncompressed, as the original does: how well it compresses is known
/// only afterwards, and a full volume in the middle of a run helps nobody.
///
/// # Errors
/// Says what is needed and what is there.
pub fn check(room: Room, ratio: f64) -> Result<(), NotEnoughRoom> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes far below 2^53, and the ratio is checked to be positive where it is parsed"
    )]
    let needed_bytes = (room.data_bytes as f64 * ratio).ceil() as u64;
    if room.free_bytes >= needed_bytes {
        return Ok(());
    }
    Err(NotEnoughRoom { needed_bytes, data_bytes: room.data_bytes, ratio, free_bytes: room.free_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_enough_is_enough_and_one_byte_less_is_not() {
        let room = |free_bytes| Room { free_bytes, data_bytes: 1000 };
        assert_eq!(check(room(1200), 1.2), Ok(()));
        let missing = check(room(1199), 1.2).unwrap_err();
        assert_eq!((missing.needed_bytes, missing.free_bytes), (1200, 1199));
    }
}
