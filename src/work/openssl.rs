//! What `openssl enc -aes-256-cbc -pbkdf2` wrote, in which the original encrypts, undone as it passes.
//!
//! It has no code that would tell a change: whoever reads it compares the sum of what is stored. What it
//! is decrypted with is a line of text, from which key and start are made with the salt at its beginning.

use std::fmt;
use std::io::{self, Read};
use std::num::NonZeroU32;

use aws_lc_rs::cipher::{AES_256, AES_256_KEY_LEN, DecryptionContext, StreamingDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::{FixedLength, IV_LEN_128_BIT};
use aws_lc_rs::pbkdf2::{PBKDF2_HMAC_SHA256, derive};

/// Every file begins with this, and with a salt behind it.
const MAGIC: &[u8; 8] = b"Salted__";

const SALT_BYTES: usize = 8;

/// As often as openssl does it where nobody says otherwise.
const ROUNDS: NonZeroU32 = NonZeroU32::new(10_000).expect("it is not 0");

/// Read at once.
const BLOCK_BYTES: usize = 64 << 10;

/// The cipher's own blocks.
const CIPHER_BYTES: usize = 16;

/// What files are encrypted with. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Passphrase(Vec<u8>);

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl Passphrase {
    /// Takes it from a file as openssl does: its first line. `None` where that is empty.
    pub(super) fn of_file(bytes: &[u8]) -> Option<Self> {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        (!line.is_empty()).then(|| Self(line.to_vec()))
    }

    /// Opens another passphrase that was wrapped with this one; `None` where it was wrapped with another.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Option<Self> {
        let mut opened = Vec::new();
        Decrypting::new(wrapped, self).read_to_end(&mut opened).ok()?;
        // The original draws hex digits. With a wrong key the end may look right by chance, and they never do.
        Self::of_file(&opened).filter(|inner| inner.0.iter().all(u8::is_ascii_hexdigit))
    }
}

/// Whether a file begins as one that openssl encrypted.
pub(super) fn is_encrypted(beginning: &[u8]) -> bool {
    beginning.starts_with(MAGIC)
}

/// A file that is decrypted as it is read.
pub(super) struct Decrypting<'a, R> {
    stored: R,
    passphrase: &'a Passphrase,
    stage: Stage,
    cipher: Vec<u8>,
    plain: Vec<u8>,
    /// The part of `plain` that was not handed on.
    left: std::ops::Range<usize>,
}

enum Stage {
    Beginning,
    Middle(Box<StreamingDecryptingKey>),
    End,
}

impl<'a, R: Read> Decrypting<'a, R> {
    pub(super) fn new(stored: R, passphrase: &'a Passphrase) -> Self {
        let (cipher, plain) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES + CIPHER_BYTES]);
        Self { stored, passphrase, stage: Stage::Beginning, cipher, plain, left: 0..0 }
    }

    /// Makes the key, with the salt at the beginning.
    fn begin(&mut self) -> io::Result<StreamingDecryptingKey> {
        let mut head = [0; MAGIC.len() + SALT_BYTES];
        let read = self.stored.read_exact(&mut head);
        let is_cut = |error: &io::Error| error.kind() == io::ErrorKind::UnexpectedEof;
        match read {
            Err(error) if !is_cut(&error) => return Err(error),
            Ok(()) if is_encrypted(&head) => {}
            _ => return Err(bad("it does not begin as what openssl encrypted")),
        }
        let mut derived = [0; AES_256_KEY_LEN + IV_LEN_128_BIT];
        derive(PBKDF2_HMAC_SHA256, ROUNDS, &head[MAGIC.len()..], &self.passphrase.0, &mut derived);
        let (key, start) = derived.split_at(AES_256_KEY_LEN);
        let start = FixedLength::try_from(start).map_err(|_| bad("its start has another length"))?;
        let key = UnboundCipherKey::new(&AES_256, key);
        key.and_then(|key| StreamingDecryptingKey::cbc_pkcs7(key, DecryptionContext::Iv128(start)))
            .map_err(|_| bad("it cannot be decrypted on this machine"))
    }

    /// Decrypts the next block; at the end, nothing is left.
    fn next(&mut self) -> io::Result<()> {
        let mut key = match std::mem::replace(&mut self.stage, Stage::End) {
            Stage::Beginning => Box::new(self.begin()?),
            Stage::Middle(key) => key,
            Stage::End => return Ok(()),
        };
        let count = loop {
            match self.stored.read(&mut self.cipher) {
                // Whoever tries again must find the key where it was.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if count == 0 {
            let last = key.finish(&mut self.plain).map(|update| update.written().len());
            self.left = 0..last.map_err(|_| bad("it is cut, or was encrypted with another key"))?;
            return Ok(());
        }
        let length = key.update(&self.cipher[..count], &mut self.plain).map(|update| update.written().len());
        self.left = 0..length.map_err(|_| bad("it cannot be decrypted"))?;
        self.stage = Stage::Middle(key);
        Ok(())
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::other(what.to_owned())
}

impl<R: Read> Read for Decrypting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() && !matches!(self.stage, Stage::End) {
            self.next()?;
        }
        let count = self.left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.plain[self.left.start..self.left.start + count]);
        self.left.start += count;
        Ok(count)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::cipher::StreamingEncryptingKey;

    use super::*;

    /// What openssl itself made of a key, with `kek of the test` in a file.
    const WRAPPED: &str = "53616c7465645f5f008cf7fee6ca01d27c0060455cee4fe3bc00639cf7a1590569cefe52aeffa1ce6e230996f2f6ed\
        1fe12be182c9c6e19a4218a0a311fe3ea0d24238da0056f28a1f191804a50ca748cd422c24e214f445586cc6663a680dcb";

    /// And what it made of a text, with that key.
    const ENCRYPTED: &str = "53616c7465645f5fdae940a9600ebcb27c36da362b687f2207e84f69339eeadb26e1f4fd3e4ddd6e95dc282a0e97\
        0181967274b27c623a832ee0e14e6ee7d216";

    pub(in crate::work) fn passphrase(text: &str) -> Passphrase {
        Passphrase::of_file(text.as_bytes()).unwrap()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    /// As openssl does it.
    pub(in crate::work) fn encrypted(content: &[u8], passphrase: &Passphrase) -> Vec<u8> {
        let salt = [7; SALT_BYTES];
        let mut derived = [0; AES_256_KEY_LEN + IV_LEN_128_BIT];
        derive(PBKDF2_HMAC_SHA256, ROUNDS, &salt, &passphrase.0, &mut derived);
        let key = UnboundCipherKey::new(&AES_256, &derived[..AES_256_KEY_LEN]).unwrap();
        let start = DecryptionContext::Iv128(FixedLength::try_from(&derived[AES_256_KEY_LEN..]).unwrap());
        let start = aws_lc_rs::cipher::EncryptionContext::Iv128(match start {
            DecryptionContext::Iv128(start) => start,
            _ => unreachable!("it was just made"),
        });
        let mut key = StreamingEncryptingKey::less_safe_cbc_pkcs7(key, start).unwrap();
        let mut stored = [&MAGIC[..], &salt].concat();
        let mut out = vec![0; content.len() + 2 * CIPHER_BYTES];
        let length = key.update(content, &mut out).unwrap().written().len();
        let (_, last) = key.finish(&mut out[length..]).unwrap();
        let length = length + last.written().len();
        stored.extend_from_slice(&out[..length]);
        stored
    }

    fn decrypted(stored: &[u8], passphrase: &Passphrase) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        Decrypting::new(stored, passphrase).read_to_end(&mut content).map(|_| content)
    }

    #[test]
    fn what_openssl_encrypted_is_opened_with_the_key_that_openssl_wrapped() {
        let outer = Passphrase::of_file(b"kek of the test\nnot this line\n").unwrap();
        let inner = outer.unwrap(&bytes(WRAPPED)).unwrap();
        assert!(inner == passphrase("3ea94bc52703c7211afa54de1b584d7e4cf27723096a0530c11d18d9e835510c"));
        let content = decrypted(&bytes(ENCRYPTED), &inner).unwrap();
        assert_eq!(content, b"hello, this is the content of a stream");
        assert!(outer.unwrap(&bytes(ENCRYPTED)).is_none() && inner.unwrap(&bytes(WRAPPED)).is_none());
        assert_eq!(format!("{inner:?}"), "Passphrase", "it is never shown");
        assert!(Passphrase::of_file(b"\nline").is_none());
    }

    #[test]
    fn content_of_every_size_is_decrypted_as_it_passes() {
        let passphrase = passphrase("secret");
        for length in [0, 1, 15, 16, 17, BLOCK_BYTES - 16, BLOCK_BYTES, 3 * BLOCK_BYTES + 5] {
            let content: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            assert!(decrypted(&encrypted(&content, &passphrase), &passphrase).unwrap() == content, "{length}");
        }
    }

    #[test]
    fn what_is_cut_anywhere_or_no_such_file_at_all_gives_its_beginning_or_an_error() {
        let passphrase = passphrase("secret");
        let content = vec![3; 100];
        let stored = encrypted(&content, &passphrase);
        for length in 0..stored.len() {
            // By chance, the last byte of a block may look like an end.
            let read = decrypted(&stored[..length], &passphrase);
            assert!(read.is_err() || content.starts_with(&read.unwrap()), "{length}");
        }
        let error = decrypted(b"no such file, long enough", &passphrase).unwrap_err();
        assert_eq!(error.to_string(), "it does not begin as what openssl encrypted");
    }
}
