//! Frames read one after the other, from a store that hands its files out from their beginning only.
//!
//! Where a frame ends is told by the headers of its blocks, so nothing is read twice and no list of
//! frames is needed before the first of them.

use std::io::{self, Read};

use zstd::zstd_safe::{compress_bound, get_frame_content_size};

use super::{FRAME_BYTES, HEADER_BYTES, Job, decompressor};
use crate::work::lanes;

const FRAME_MAGIC: u32 = 0xFD2F_B528;

/// Skippable frames have sixteen magic numbers, which differ in their last digit.
const SKIPPABLE_MASK: u32 = 0xFFFF_FFF0;

/// Length of a block's header.
const BLOCK_HEADER_BYTES: usize = 3;

/// A block of this kind holds one byte, whatever length it says.
const BLOCK_OF_ONE_BYTE: u32 = 1;

/// Decompresses a stream of frames on `workers` threads and hands the content on in order.
///
/// Reads `stored` to its end, on a thread of its own.
///
/// # Errors
/// A frame that is damaged, one that is larger than this format's, or the first error of `sink`.
pub fn decompress_stream(
    stored: &mut (impl Read + Send),
    workers: usize,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let read_next = |job: &mut Job| read_frame(stored, job);
    lanes::run(workers, read_next, decompressor, |job: &Job| sink(&job.output))
}

/// Reads the next frame that has content; `false` at the end.
fn read_frame(stored: &mut impl Read, job: &mut Job) -> io::Result<bool> {
    // Never more than this, instead of up to twice as much by growing.
    job.input.reserve_exact(most_bytes().saturating_sub(job.input.len()));
    loop {
        job.input.clear();
        if !take_magic(stored, &mut job.input)? {
            return Ok(false);
        }
        let magic = super::word(&job.input);
        if magic & SKIPPABLE_MASK == super::SKIPPABLE_MAGIC & SKIPPABLE_MASK {
            skip(stored, &mut job.input)?;
        } else if magic == FRAME_MAGIC {
            take_frame(stored, &mut job.input)?;
            job.expected = content_bytes(&job.input)?;
            return Ok(true);
        } else {
            return Err(bad("no zstd frame begins where one should"));
        }
    }
}

/// More than any frame of ours is long.
fn most_bytes() -> usize {
    compress_bound(FRAME_BYTES) + HEADER_BYTES
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads four bytes, or nothing at all at the end.
fn take_magic(stored: &mut impl Read, input: &mut Vec<u8>) -> io::Result<bool> {
    let length = size_of::<u32>();
    let read = stored.take(length as u64).read_to_end(input)?;
    match read {
        0 => Ok(false),
        read if read == length => Ok(true),
        _ => Err(bad("the file ends inside a zstd frame")),
    }
}

/// Appends so many bytes, if the frame does not become longer than any of this format is.
fn take(stored: &mut impl Read, input: &mut Vec<u8>, length: usize) -> io::Result<()> {
    if input.len() + length > most_bytes() {
        return Err(bad("a zstd frame is larger than this format allows"));
    }
    if stored.take(length as u64).read_to_end(input)? == length {
        return Ok(());
    }
    Err(bad("the file ends inside a zstd frame"))
}

/// Passes over a skippable frame, such as the list of frames at the end.
fn skip(stored: &mut impl Read, input: &mut Vec<u8>) -> io::Result<()> {
    take(stored, input, size_of::<u32>())?;
    let length = u64::from(super::word(&input[size_of::<u32>()..]));
    if io::copy(&mut stored.take(length), &mut io::sink())? == length {
        return Ok(());
    }
    Err(bad("the file ends inside a zstd frame"))
}

/// Appends the rest of a frame whose magic number was read.
fn take_frame(stored: &mut impl Read, input: &mut Vec<u8>) -> io::Result<()> {
    take(stored, input, 1)?;
    let descriptor = input[input.len() - 1];
    take(stored, input, header_rest(descriptor))?;
    loop {
        take(stored, input, BLOCK_HEADER_BYTES)?;
        let block = super::word(&[&input[input.len() - BLOCK_HEADER_BYTES..], &[0]].concat());
        let length = if block >> 1 & 3 == BLOCK_OF_ONE_BYTE { 1 } else { (block >> 3) as usize };
        take(stored, input, length)?;
        if block & 1 == 1 {
            break;
        }
    }
    let has_checksum = descriptor & 4 != 0;
    take(stored, input, if has_checksum { size_of::<u32>() } else { 0 })
}

/// Length of a frame's header behind its descriptor: window, dictionary, content size.
fn header_rest(descriptor: u8) -> usize {
    let is_single_segment = descriptor & 0x20 != 0;
    let window = usize::from(!is_single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        flag => 1 << flag,
    };
    window + dictionary + content
}

/// How much content a frame says it has; ours always say it.
fn content_bytes(frame: &[u8]) -> io::Result<usize> {
    let said = get_frame_content_size(frame).ok().flatten();
    let bytes = said.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| bad("a zstd frame tells no size"))?;
    if bytes > FRAME_BYTES {
        return Err(bad("a zstd frame is larger than this format allows"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::work::frames::tests::frames_of;

    fn read_back(mut stored: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decompress_stream(&mut stored, 2, |part| {
            content.extend_from_slice(part);
            Ok(())
        })?;
        Ok(content)
    }

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| u8::try_from(n * n / 7 % 251).unwrap()).collect()
    }

    #[test]
    fn frames_of_every_size_are_read_in_order_without_the_list_at_the_end() {
        for (bytes, frame) in [(0, 1), (1, 1), (300, 300), (70_000, 255), (200_000, 300), (5 << 20, FRAME_BYTES)] {
            let content = content(bytes);
            let stored = frames_of(&content, frame);
            assert!(read_back(&stored).unwrap() == content, "{bytes} in frames of {frame}");
        }
        // What repeats becomes blocks of one byte.
        let zeros = vec![0; 3 << 20];
        assert!(read_back(&frames_of(&zeros, FRAME_BYTES)).unwrap() == zeros);
    }

    #[test]
    fn a_frame_larger_than_any_of_ours_is_refused_before_it_is_in_memory() {
        let large = zstd::bulk::compress(&vec![0; FRAME_BYTES + 1], 1).unwrap();
        assert!(read_back(&large).unwrap_err().to_string().contains("larger"));
        // Raw blocks without an end, of a frame that tells no size.
        let mut endless = FRAME_MAGIC.to_le_bytes().to_vec();
        endless.extend([0, 0]);
        for _ in 0..200 {
            endless.extend((128_u32 << 10 << 3).to_le_bytes()[..3].iter());
            endless.extend(vec![7; 128 << 10]);
        }
        assert!(read_back(&endless).unwrap_err().to_string().contains("larger"));
    }

    #[test]
    fn the_first_error_of_the_sink_ends_it() {
        let stored = frames_of(&content(10_000), 100);
        let mut calls = 0;
        let result = decompress_stream(&mut &stored[..], 2, |_| {
            calls += 1;
            Err(io::Error::other("full"))
        });
        assert_eq!((result.unwrap_err().to_string().as_str(), calls), ("full", 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_stream_cut_or_patched_anywhere_gives_its_beginning_or_an_error(
            cut in prop::option::of(0..3000_usize),
            patch in prop::option::of((0..3000_usize, any::<u8>())),
        ) {
            let content = content(2000);
            let mut stored = frames_of(&content, 300);
            if let Some((at, by)) = patch {
                let at = at % stored.len();
                stored[at] ^= by;
            }
            stored.truncate(cut.unwrap_or(stored.len()));
            if let Ok(read) = read_back(&stored) {
                prop_assert!(content.starts_with(&read));
            }
        }

        #[test]
        fn what_is_no_stream_of_frames_is_an_error(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
            prop_assert!(read_back(&bytes).is_err());
        }
    }
}
