//! zstd as a run of independent frames, in zstd's own seekable format.
//!
//! Every frame holds at most [`FRAME_BYTES`] of content and carries its checksum; a skippable frame
//! at the end lists their sizes. So restore and verify can use every core, while plain `zstd -d`
//! reads the whole as ever: it skips the list.

use std::io::{self, Read, Seek, SeekFrom};

use zstd::zstd_safe::{CParameter, compress_bound};

mod stream;
pub use stream::decompress_stream;

/// Content of one frame: big enough to compress well, small enough to have several in memory.
pub const FRAME_BYTES: usize = 4 << 20;

/// A skippable frame's magic number, with the format's choice of its last digit.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;

/// Ends every file in the seekable format.
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// Length of the skippable frame's own header.
const HEADER_BYTES: usize = 8;

/// Number of frames, descriptor, magic number.
const FOOTER_BYTES: usize = 9;

/// Compressed and content size of one frame.
const ENTRY_BYTES: usize = 8;

/// More frames than any backup has, which is 32 TiB of content; bounds the memory a hostile list can take.
const MOST_FRAMES: u32 = 8 << 20;

/// Compresses one frame after the other.
pub struct FrameCompressor(zstd::bulk::Compressor<'static>);

impl FrameCompressor {
    /// Makes one for a zstd level.
    pub fn new(level: i32) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(compressor))
    }

    /// Replaces `frame` with the compressed `content`.
    pub fn compress(&mut self, content: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        frame.clear();
        frame.reserve(compress_bound(content.len()));
        self.0.compress_to_buffer(content, frame).map(|_| ())
    }
}

/// The sizes of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSizes {
    /// Bytes in the file.
    pub compressed: u32,
    /// Bytes of content.
    pub content: u32,
}

/// The list of frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeekTable {
    /// Frames in the order of the file.
    pub frames: Vec<FrameSizes>,
}

impl SeekTable {
    /// Enters the next frame.
    pub fn push(&mut self, compressed: usize, content: usize) -> io::Result<()> {
        let size = |bytes: usize| u32::try_from(bytes).map_err(|_| io::Error::other("a frame is larger than 4 GiB"));
        self.frames.push(FrameSizes { compressed: size(compressed)?, content: size(content)? });
        Ok(())
    }

    /// Returns the bytes of content of all frames.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| u64::from(frame.content)).sum()
    }

    /// Returns the skippable frame that holds this table.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let too_many = |_| io::Error::other("more frames than the seekable format can list");
        let count = u32::try_from(self.frames.len()).map_err(too_many)?;
        let length = u32::try_from(self.frames.len() * ENTRY_BYTES + FOOTER_BYTES).map_err(too_many)?;
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.frames.len() * ENTRY_BYTES + FOOTER_BYTES);
        bytes.extend(SKIPPABLE_MAGIC.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        for frame in &self.frames {
            bytes.extend(frame.compressed.to_le_bytes());
            bytes.extend(frame.content.to_le_bytes());
        }
        bytes.extend(count.to_le_bytes());
        // The descriptor: no sums in the table, since each frame carries its own.
        bytes.push(0);
        bytes.extend(SEEKABLE_MAGIC.to_le_bytes());
        Ok(bytes)
    }

    /// Reads the table at the end of a file and checks that it accounts for every byte of it.
    ///
    /// Leaves the file at its beginning.
    pub fn read(file: &mut (impl Read + Seek)) -> io::Result<Self> {
        let length = file.seek(SeekFrom::End(0))?;
        let bad = || io::Error::new(io::ErrorKind::InvalidData, "the file has no list of its zstd frames");
        let footer_at = length.checked_sub(FOOTER_BYTES as u64).ok_or_else(bad)?;
        let mut footer = [0; FOOTER_BYTES];
        file.seek(SeekFrom::Start(footer_at))?;
        file.read_exact(&mut footer)?;
        if word(&footer[5..]) != SEEKABLE_MAGIC || footer[4] != 0 || word(&footer) > MOST_FRAMES {
            return Err(bad());
        }
        let entries_bytes = u64::from(word(&footer)) * ENTRY_BYTES as u64;
        let entries_at = footer_at.checked_sub(entries_bytes).ok_or_else(bad)?;
        let mut entries = Vec::new();
        file.seek(SeekFrom::Start(entries_at))?;
        file.take(entries_bytes).read_to_end(&mut entries)?;
        let frames: Vec<_> = entries
            .chunks_exact(ENTRY_BYTES)
            .map(|entry| FrameSizes { compressed: word(entry), content: word(&entry[4..]) })
            .collect();
        let compressed: u64 = frames.iter().map(|frame| u64::from(frame.compressed)).sum();
        if compressed + HEADER_BYTES as u64 != entries_at {
            return Err(bad());
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { frames })
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// Decompresses a file of frames on `workers` threads and hands the content on in order.
///
/// # Errors
/// A frame that is damaged, one that is larger than this format's, or the first error of `sink`.
pub fn decompress(
    file: &mut (impl Read + Seek + Send),
    workers: usize,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let table = SeekTable::read(file)?;
    let mut frames = table.frames.iter();
    let read_next = |job: &mut Job| {
        let Some(sizes) = frames.next() else { return Ok(false) };
        if sizes.content as usize > FRAME_BYTES || sizes.compressed as usize > compress_bound(FRAME_BYTES) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a zstd frame is larger than this format allows"));
        }
        job.expected = sizes.content as usize;
        job.input.resize(sizes.compressed as usize, 0);
        file.read_exact(&mut job.input).map(|()| true)
    };
    super::lanes::run(workers, read_next, decompressor, |job: &Job| sink(&job.output))
}

/// Makes what decompresses one frame after the other, each with as much content as was said of it.
fn decompressor() -> io::Result<impl FnMut(&mut Job) -> io::Result<()>> {
    let mut decompressor = zstd::bulk::Decompressor::new()?;
    Ok(move |job: &mut Job| {
        job.output.clear();
        job.output.reserve(job.expected);
        let found = decompressor.decompress_to_buffer(&job.input, &mut job.output)?;
        if found == job.expected {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "a zstd frame is shorter than was said of it"))
    })
}

/// A frame on its way.
#[derive(Default)]
struct Job {
    input: Vec<u8>,
    output: Vec<u8>,
    expected: usize,
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Cursor;

    use super::*;

    fn content() -> Vec<u8> {
        (0..3 * FRAME_BYTES / 2).map(|n| u8::try_from(n / 7 % 251).unwrap()).collect()
    }

    fn file_of(content: &[u8]) -> Vec<u8> {
        frames_of(content, FRAME_BYTES / 4)
    }

    fn small_file_of(content: &[u8]) -> Vec<u8> {
        frames_of(content, 300)
    }

    pub(in crate::work) fn frames_of(content: &[u8], bytes: usize) -> Vec<u8> {
        let mut compressor = FrameCompressor::new(1).unwrap();
        let (mut file, mut frame, mut table) = (Vec::new(), Vec::new(), SeekTable::default());
        for part in content.chunks(bytes) {
            compressor.compress(part, &mut frame).unwrap();
            table.push(frame.len(), part.len()).unwrap();
            file.extend(&frame);
        }
        file.extend(table.to_bytes().unwrap());
        file
    }

    fn read_back(file: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        decompress(&mut Cursor::new(file), 3, |part| {
            content.extend_from_slice(part);
            Ok(())
        })?;
        Ok(content)
    }

    #[test]
    fn any_zstd_reads_the_frames_and_so_do_we() {
        let content = content();
        let file = file_of(&content);
        assert!(zstd::stream::decode_all(&file[..]).unwrap() == content);
        assert!(read_back(file).unwrap() == content);
    }

    #[test]
    fn a_flipped_bit_or_a_missing_end_is_found() {
        let file = file_of(&content());
        let mut flipped = file.clone();
        flipped[file.len() / 2] ^= 1;
        assert!(read_back(flipped).is_err());
        assert!(read_back(file[..file.len() - 1].to_vec()).is_err());
        assert!(read_back(Vec::new()).is_err());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn a_file_that_was_tampered_with_gives_its_content_or_an_error(
            cut in proptest::option::of(0..3000_usize),
            patches in proptest::collection::vec((0..400_usize, proptest::prelude::any::<[u8; 4]>()), 0..4),
        ) {
            let content: Vec<u8> = (0..2000_u32).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
            let mut file = small_file_of(&content);
            // At the end is the list, which is where a lie costs memory.
            let length = file.len();
            for (from_end, bytes) in patches {
                let at = length.saturating_sub(from_end + 4);
                file[at..at + 4].copy_from_slice(&bytes);
            }
            file.truncate(cut.unwrap_or(length));
            if let Ok(read) = read_back(file) {
                proptest::prop_assert!(read == content);
            }
        }

        #[test]
        fn what_is_no_file_of_frames_at_all_is_an_error(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let mut with_footer = bytes.clone();
            with_footer.extend(SEEKABLE_MAGIC.to_le_bytes());
            proptest::prop_assert!(read_back(bytes).is_err());
            proptest::prop_assert!(read_back(with_footer).is_err());
        }
    }

    #[test]
    fn a_list_longer_than_any_is_refused_before_it_is_read() {
        let mut footer = (MOST_FRAMES + 1).to_le_bytes().to_vec();
        footer.push(0);
        footer.extend(SEEKABLE_MAGIC.to_le_bytes());
        // A file so long that the list would fit, without a byte of it.
        let directory = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(directory.path().join("long"))
            .unwrap();
        file.seek(SeekFrom::Start(1 << 30)).unwrap();
        std::io::Write::write_all(&mut file, &footer).unwrap();
        assert!(SeekTable::read(&mut file).is_err());
    }

    #[test]
    fn the_first_error_of_the_sink_ends_it() {
        let mut calls = 0;
        let result = decompress(&mut Cursor::new(file_of(&content())), 2, |_| {
            calls += 1;
            Err(io::Error::other("full"))
        });
        assert_eq!((result.unwrap_err().to_string().as_str(), calls), ("full", 1));
    }
}
