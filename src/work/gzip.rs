//! gzip, in which the original stores its streams: read once, from its beginning to its end.
//!
//! Only one core can unpack it, which is why ours are stored otherwise; what is done with the content
//! happens on another. Files that were put together of several count as one, as `zcat` has it; anything
//! else behind the end is damage, as is an end before it.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use super::lanes;

/// Content that is handed on at once.
const PART_BYTES: usize = 1 << 20;

/// A piece of content on its way.
#[derive(Default)]
struct Part {
    bytes: Vec<u8>,
    length: usize,
}

/// Decompresses a file and hands the content on in order.
///
/// Reads `stored` on a thread of its own, to its end unless it fails before.
///
/// # Errors
/// A file that is damaged, cut, or longer than what was compressed; or the first error of `sink`.
pub(super) fn decompress_stream(
    stored: &mut (impl Read + Send),
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut content = MultiGzDecoder::new(stored);
    let fill = |part: &mut Part| {
        part.bytes.resize(PART_BYTES, 0);
        part.length = read_full(&mut content, &mut part.bytes).map_err(told)?;
        Ok(part.length > 0)
    };
    // There is nothing left to do between filling a part and emptying it.
    lanes::run(1, fill, || Ok(|_: &mut Part| Ok(())), |part: &Part| sink(&part.bytes[..part.length]))
}

/// Reads until the buffer is full or nothing is left.
fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Says what is wrong with the file in words of its own; other errors are the store's.
fn told(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::InvalidData, "the file ends inside its gzip"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            io::Error::new(io::ErrorKind::InvalidData, format!("it is no gzip from its beginning to its end ({error})"))
        }
        _ => error,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    pub(in crate::work) fn gzip_of(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|n| u8::try_from(n * n / 7 % 251).unwrap()).collect()
    }

    fn read_back(mut stored: &[u8]) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decompress_stream(&mut stored, |part| {
            content.extend_from_slice(part);
            Ok(())
        })?;
        Ok(content)
    }

    #[test]
    fn content_of_every_size_is_read_also_of_files_put_together() {
        for bytes in [0, 1, 300, PART_BYTES, PART_BYTES + 1, 5 << 20] {
            let content = content(bytes);
            assert!(read_back(&gzip_of(&content)).unwrap() == content, "{bytes}");
        }
        let together = [gzip_of(b"one"), gzip_of(b""), gzip_of(b"two")].concat();
        assert_eq!(read_back(&together).unwrap(), b"onetwo");
    }

    #[test]
    fn a_file_cut_anywhere_or_with_anything_behind_its_end_is_damaged() {
        let stored = gzip_of(&content(2000));
        for length in 0..stored.len() {
            let error = read_back(&stored[..length]).unwrap_err();
            assert_eq!(error.to_string(), "the file ends inside its gzip", "{length}");
        }
        for behind in [&b"x"[..], b"\0", b"\x1f", b"more than a header is long"] {
            let error = read_back(&[&stored[..], behind].concat()).unwrap_err();
            assert!(error.to_string().contains("gzip"), "{behind:?}: {error}");
        }
        assert!(read_back(b"no gzip at all, but long enough").unwrap_err().to_string().contains("it is no gzip"));
    }

    #[test]
    fn the_first_error_of_the_sink_ends_it() {
        let stored = gzip_of(&content(8 << 20));
        let mut calls = 0;
        let result = decompress_stream(&mut &stored[..], |_| {
            calls += 1;
            Err(io::Error::other("full"))
        });
        assert_eq!((result.unwrap_err().to_string().as_str(), calls), ("full", 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_bit_that_flipped_is_found_or_changes_nothing(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let content = content(2000);
            let mut stored = gzip_of(&content);
            let at = at.index(stored.len());
            stored[at] ^= 1 << bit;
            if let Ok(read) = read_back(&stored) {
                prop_assert!(read == content);
            }
        }
    }
}
