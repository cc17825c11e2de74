//! Ring 2: uploads, downloads and refusals on a real SeaweedFS behind a network that fails.

use std::fs;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use mariadb_backup::adapters::store_s3::S3Bucket;
use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::manifest::{MANIFEST_FILE, STREAM_FILE};
use mariadb_backup::model::order::S3Store;
use mariadb_backup::model::outcome::Explain;
use mariadb_backup::ports::runner::{KeptSum, PendingBackup, Store};
use mariadb_backup::ports::{PortError, Reason};

use crate::real_server::wait_for;
use crate::s3_proxy::{Fate, Proxy, Request};
use crate::s3_server::{BUCKET, S3Server, SECRET, open, runtime};
use crate::store_contract::bytes;

const NAME: &str = "base/2026-01-31_23-59-59";

/// The size of a part where nothing asks for a larger one.
const PART: usize = 8 << 20;

fn id() -> BackupId {
    NAME.parse().unwrap()
}

fn stream() -> String {
    format!("{NAME}/{STREAM_FILE}")
}

/// A store behind a proxy of its own.
struct Stand {
    proxy: Proxy,
    order: S3Store,
    store: S3Bucket,
}

impl Stand {
    fn before(server: &S3Server) -> Self {
        Self::with(server, |_| {})
    }

    fn with(server: &S3Server, change: impl FnOnce(&mut S3Store)) -> Self {
        let proxy = Proxy::before(&server.address());
        let mut order = server.order();
        order.endpoint = Some(proxy.endpoint());
        change(&mut order);
        let store = open(&order);
        Self { proxy, order, store }
    }

    fn new() -> Self {
        Self::before(S3Server::shared())
    }

    /// Stores a backup with that stream, as the follower of a copy does.
    fn make(&self, content: &[u8]) -> Result<(), String> {
        let mut pending = self.store.begin(&id(), content.len() as u64).map_err(told)?;
        send(pending.as_mut(), content)?;
        pending.publish(MANIFEST_FILE, b"{}").map(drop).map_err(told)
    }

    fn read(&self) -> Vec<u8> {
        let (mut reader, _) = self.store.open(&stream()).unwrap();
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        content
    }

    /// The numbers of the parts that came by since this was asked last.
    fn parts(&self) -> Vec<u32> {
        let mut parts: Vec<_> = self.proxy.seen().iter().filter_map(Request::part).collect();
        parts.sort_unstable();
        parts
    }

    /// Brings the first parts of a stream into the bucket, and then breaks off.
    fn break_off_after(&self, count: usize, content: &[u8]) {
        let mut pending = self.store.begin(&id(), content.len() as u64).unwrap();
        let mut file = pending.create(STREAM_FILE).unwrap();
        // The last byte is what sends the part before it.
        file.write_all(&content[..=count * PART]).unwrap();
        wait_for("the parts", || (self.parts_kept() == count).then_some(()));
    }

    /// How many parts the unfinished upload has.
    fn parts_kept(&self) -> usize {
        let client = client(&self.order);
        runtime().block_on(async {
            let uploads =
                client.list_multipart_uploads().bucket(BUCKET).prefix(&self.order.prefix).send().await.unwrap();
            let Some(upload) = uploads.uploads().first() else { return 0 };
            let parts = client.list_parts().bucket(BUCKET).key(upload.key().unwrap());
            parts.upload_id(upload.upload_id().unwrap()).send().await.unwrap().parts().len()
        })
    }
}

/// A client of the test's own.
fn client(order: &S3Store) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("backup", SECRET, None, None, "test"))
        .force_path_style(true)
        .endpoint_url(order.endpoint.as_deref().unwrap());
    aws_sdk_s3::Client::from_conf(config.build())
}

fn send(pending: &mut dyn PendingBackup, content: &[u8]) -> Result<(), String> {
    let mut file = pending.create(STREAM_FILE).map_err(told)?;
    let written = file.write_all(content);
    written.map_err(|error| error.downcast::<PortError>().map_or_else(|other| other.to_string(), told))?;
    file.make_durable().map_err(told)
}

/// What the user is told, with the reason before it.
#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn told(error: PortError) -> String {
    let reason = error.reason;
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let text = format!("{reason:?}: {error}; {cause}; {}", error.hint().unwrap_or_default());
    assert!(!text.contains(SECRET), "{text}");
    text
}

fn is_told(result: Result<(), String>, reason: &str, text: &str) {
    let told = result.unwrap_err();
    assert!(told.starts_with(reason) && told.contains(text), "{told}");
}

#[test]
fn the_sums_aws_wishes_for_and_a_limit_on_the_link_change_nothing() {
    let stand = Stand::with(S3Server::shared(), |order| {
        order.checksums_when_required = false;
        order.bytes_per_sec = 40 << 20;
    });
    let content = bytes(3 * PART);
    stand.make(&content).unwrap();
    assert!(stand.read() == content);
    assert_eq!(stand.store.facts(&stream()).unwrap().kept, KeptSum::Parts { equal: true });
    assert!(stand.proxy.seen().iter().all(|request| !request.is_framed), "bodies are sent plainly");
}

#[test]
fn a_share_of_refused_requests_is_tried_again() {
    let (stand, content) = (Stand::new(), bytes(5 * PART + 7));
    let mut count = 0;
    stand.proxy.rule(move |_| {
        count += 1;
        if count % 4 == 0 { Fate::Answer(503, "SlowDown") } else { Fate::Pass }
    });
    stand.make(&content).unwrap();
    assert!(stand.read() == content);
    assert_eq!(stand.store.facts(&stream()).unwrap().kept, KeptSum::Parts { equal: true });
}

#[test]
fn an_upload_that_is_refused_for_good_fails_clearly_and_is_gone_on_with() {
    let (stand, content) = (Stand::new(), bytes(4 * PART));
    stand.break_off_after(2, &content);
    stand.proxy.rule(|request| if request.part().is_some() { Fate::Answer(500, "InternalError") } else { Fate::Pass });
    is_told(
        stand.make(&content),
        "Unreachable: cannot upload part ",
        "cannot serve at the moment; InternalError: as the test says",
    );
    stand.proxy.rule(|_| Fate::Pass);
    stand.proxy.seen();
    stand.make(&content).unwrap();
    assert_eq!(stand.parts(), [3, 4]);
    assert!(stand.read() == content);
}

#[test]
fn a_server_that_knows_less_than_aws_still_takes_a_backup() {
    let (stand, content) = (Stand::new(), bytes(3 * PART));
    stand.proxy.rule(|request| {
        let is_listing_of_uploads = request.target.contains("uploads") && request.method == "GET";
        if is_listing_of_uploads || request.is_conditional { Fate::Answer(501, "NotImplemented") } else { Fate::Pass }
    });
    stand.make(&content).unwrap();
    assert!(stand.read() == content);
    assert_eq!(stand.store.facts(&stream()).unwrap().kept, KeptSum::Parts { equal: true });
}

#[test]
fn a_slow_link_is_waited_for() {
    let (stand, content) = (Stand::new(), bytes(3 * PART));
    stand.proxy.rule(|_| Fate::Crawl);
    stand.make(&content).unwrap();
    assert!(stand.read() == content);
}

#[test]
fn an_expired_token_is_told_from_a_wrong_key_and_leaves_the_upload() {
    let (stand, content) = (Stand::new(), bytes(4 * PART));
    stand.proxy.rule(|request| match request.part() {
        Some(4) => Fate::Answer(400, "ExpiredToken"),
        _ => Fate::Pass,
    });
    is_told(stand.make(&content), "Credentials: cannot upload part 4", "the session token has expired");
    stand.proxy.rule(|_| Fate::Pass);
    stand.proxy.seen();
    stand.make(&content).unwrap();
    assert_eq!(stand.parts().last(), Some(&4));
    assert!(stand.read() == content);
}

#[test]
fn a_quota_that_is_used_up_is_no_space() {
    for (status, code) in [(403, "QuotaExceeded"), (507, "XMinioStorageFull"), (507, "InsufficientStorage")] {
        let (stand, content) = (Stand::new(), bytes(3 * PART));
        stand
            .proxy
            .rule(move |request| if request.part() == Some(2) { Fate::Answer(status, code) } else { Fate::Pass });
        is_told(stand.make(&content), "NoSpace: cannot upload part 2", "has no room left");
        assert_eq!(stand.store.sweep(&[]).unwrap(), [NAME]);
    }
}

#[test]
fn a_connection_cut_in_the_middle_of_a_part_is_made_again() {
    let (stand, content) = (Stand::new(), bytes(4 * PART));
    stand.proxy.rule(|request| match (request.part(), request.before) {
        (Some(2), 0) => Fate::CutBody(1 << 20),
        (Some(3), 0) => Fate::CutAnswer(0),
        _ => Fate::Pass,
    });
    stand.make(&content).unwrap();
    assert_eq!(stand.parts(), [1, 2, 2, 3, 3, 4]);
    assert!(stand.read() == content);
}

#[test]
fn a_lost_answer_to_the_last_step_is_no_conflict() {
    let (stand, content) = (Stand::new(), bytes(2 * PART));
    stand.proxy.rule(|request| {
        let is_last = request.completes() || request.target.contains(MANIFEST_FILE) && request.method == "PUT";
        if is_last && request.before == 0 { Fate::CutAnswer(0) } else { Fate::Pass }
    });
    stand.make(&content).unwrap();
    assert!(stand.read() == content);
    assert_eq!(stand.store.facts(&stream()).unwrap().kept, KeptSum::Parts { equal: true });
}

#[test]
fn after_the_server_was_restarted_only_the_missing_parts_are_sent() {
    let mut server = S3Server::start();
    let (stand, content) = (Stand::before(&server), bytes(5 * PART + 100));
    stand.break_off_after(3, &content);
    server.kill();
    is_told(stand.make(&content), "Unreachable: ", "does not answer");
    server.restart();
    stand.proxy.seen();
    stand.make(&content).unwrap();
    let sent: Vec<_> = stand.proxy.seen();
    assert_eq!(sent.iter().filter_map(Request::part).count(), 3);
    assert_eq!(
        sent.iter().filter(|request| request.part().is_some()).map(|request| request.length).sum::<u64>(),
        2 * PART as u64 + 100
    );
    assert!(stand.read() == content);
    assert_eq!(stand.store.facts(&stream()).unwrap().kept, KeptSum::Parts { equal: true });
}

#[test]
fn parts_of_another_stream_are_sent_again() {
    let (stand, content) = (Stand::new(), bytes(3 * PART));
    stand.break_off_after(2, &content);
    stand.proxy.seen();
    let mut other = content.clone();
    other[PART + 1] ^= 1;
    stand.make(&other).unwrap();
    assert_eq!(stand.parts(), [2, 3]);
    assert!(stand.read() == other);
}

#[test]
fn an_earlier_upload_in_parts_too_small_is_given_up() {
    let stand = Stand::with(S3Server::shared(), |order| order.max_parts = 3);
    stand.break_off_after(1, &bytes(2 * PART));
    let content = bytes(4 * PART);
    stand.make(&content).unwrap();
    assert!(stand.read() == content);
    assert_eq!(stand.store.sweep(&[]).unwrap(), [""; 0]);
}

#[test]
fn parts_are_as_large_as_a_thousand_of_them_must_be() {
    let stand = Stand::with(S3Server::shared(), |order| order.max_parts = 1_000);
    let mut pending = stand.store.begin(&id(), 9_000 << 20).unwrap();
    send(pending.as_mut(), &bytes(20 << 20)).unwrap();
    let mut lengths: Vec<_> =
        stand.proxy.seen().iter().filter(|request| request.part().is_some()).map(|part| part.length).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [2 << 20, 9 << 20, 9 << 20]);
}

#[test]
fn a_stream_longer_than_all_parts_fails_clearly() {
    let stand = Stand::with(S3Server::shared(), |order| order.max_parts = 2);
    let mut pending = stand.store.begin(&id(), 1).unwrap();
    is_told(send(pending.as_mut(), &bytes(2 * PART + 1)), "Other: ", "more than the 2 parts of 8 MiB");
    let mut pending = stand.store.begin(&id(), 1 << 40).unwrap();
    is_told(send(pending.as_mut(), b""), "Other: ", "MARIADB_BACKUP_S3_MAX_PARTS");
}

#[test]
fn no_more_is_held_in_memory_than_a_few_parts() {
    let (stand, content) = (Stand::new(), bytes(7 * PART));
    stand.proxy.rule(|request| if request.part().is_some() { Fate::Hold } else { Fate::Pass });
    let taken = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut pending = stand.store.begin(&id(), content.len() as u64).unwrap();
            let mut file = pending.create(STREAM_FILE).unwrap();
            for piece in content.chunks(1 << 20) {
                file.write_all(piece).unwrap();
                taken.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            file.make_durable().unwrap();
        });
        wait_for("parts on their way", || (stand.proxy.count(|request| request.part().is_some()) == 4).then_some(()));
        assert!(taken.load(Ordering::SeqCst) <= 4 * PART as u64);
        stand.proxy.release();
        writer.join().unwrap();
    });
    assert!(stand.read() == content);
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let (stand, content) = (Stand::new(), bytes(3 * PART));
    stand.make(&content).unwrap();
    let mut cuts = [1 << 20, 0, 9 << 20].into_iter();
    stand.proxy.rule(move |request| match (request.method.as_str(), cuts.len()) {
        ("GET", 1..) => Fate::CutAnswer(1000 + cuts.next().unwrap()),
        _ => Fate::Pass,
    });
    assert!(stand.read() == content);
}

#[test]
fn a_download_that_breaks_again_and_again_fails() {
    let stand = Stand::new();
    stand.make(&bytes(PART)).unwrap();
    stand.proxy.rule(|request| if request.method == "GET" { Fate::CutAnswer(2000) } else { Fate::Pass });
    let (mut reader, _) = stand.store.open(&stream()).unwrap();
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_download_never_mixes_two_objects() {
    let stand = Stand::new();
    stand.make(&bytes(2 * PART)).unwrap();
    let mut is_first = true;
    stand.proxy.rule(move |request| {
        let cut = request.method == "GET" && std::mem::take(&mut is_first);
        if cut { Fate::CutAnswer(1 << 20) } else { Fate::Pass }
    });
    let (mut reader, _) = stand.store.open(&stream()).unwrap();
    put_other_object(&stand.order, &bytes(2 * PART + 1)[1..]);
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("somebody else changed it"), "{error}");
}

#[test]
fn an_object_of_the_same_length_that_is_another_one_shows_without_reading_it() {
    let stand = Stand::new();
    stand.make(&bytes(2 * PART)).unwrap();
    put_other_object(&stand.order, &bytes(2 * PART + 1)[1..]);
    let facts = stand.store.facts(&stream()).unwrap();
    assert_eq!((facts.size, facts.kept), (2 * PART as u64, KeptSum::Parts { equal: false }));
}

/// Puts another object in the place of the stream, in one part.
fn put_other_object(order: &S3Store, content: &[u8]) {
    let (client, key) = (client(order), format!("{}/{}", order.prefix, stream()));
    runtime().block_on(async {
        let begun = client.create_multipart_upload().bucket(BUCKET).key(&key);
        let begun = begun.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.unwrap();
        let upload = begun.upload_id().unwrap();
        let part = client.upload_part().bucket(BUCKET).key(&key).upload_id(upload).part_number(1);
        let part = part.checksum_algorithm(ChecksumAlgorithm::Sha256).body(ByteStream::from(content.to_vec()));
        let part = part.send().await.unwrap();
        let part = CompletedPart::builder()
            .part_number(1)
            .set_e_tag(part.e_tag().map(str::to_owned))
            .set_checksum_sha256(part.checksum_sha256().map(str::to_owned));
        let parts = CompletedMultipartUpload::builder().parts(part.build()).build();
        let done = client.complete_multipart_upload().bucket(BUCKET).key(&key).upload_id(upload);
        done.multipart_upload(parts).send().await.unwrap();
    });
}

#[test]
fn every_refusal_has_its_own_words() {
    let server = S3Server::shared();
    let keys = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut S3Store)| {
        let mut order = server.order();
        change(&mut order);
        open(&order).backups().map(drop).map_err(told)
    };
    let keys_of = |account: &str, secret: &str| {
        let directory = keys.path().join(account);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("AWS_ACCESS_KEY_ID"), account).unwrap();
        fs::write(directory.join("AWS_SECRET_ACCESS_KEY"), secret).unwrap();
        Some(directory.display().to_string())
    };
    let wrong = keys_of("backup", "wrong");
    is_told(
        refused(&|order| order.credentials.clone_from(&wrong)),
        "Credentials: cannot list ",
        "the secret key does not fit",
    );
    let unknown = keys_of("nobody", SECRET);
    is_told(
        refused(&|order| order.credentials.clone_from(&unknown)),
        "Credentials: cannot list ",
        "does not know the access key",
    );
    is_told(
        refused(&|order| order.credentials = Some("/no/such".to_owned())),
        "Credentials: ",
        "cannot read /no/such/AWS_ACCESS_KEY_ID",
    );
    is_told(
        refused(&|order| order.bucket = "no-such".to_owned()),
        "Missing: ",
        "there is no bucket no-such on http://127.0.0.1:",
    );
    is_told(
        refused(&|order| order.endpoint = Some("http://127.0.0.1:1".to_owned())),
        "Unreachable: ",
        "http://127.0.0.1:1 does not answer",
    );
    let mut order = server.order();
    order.credentials = Some(server.path("reader").display().to_string());
    let reader = open(&order);
    assert_eq!(reader.backups().unwrap(), []);
    let mut pending = reader.begin(&id(), 0).unwrap();
    is_told(
        pending.write("file", b"").map(drop).map_err(told),
        "Forbidden: cannot store ",
        "does not allow it to this access key",
    );
}

#[test]
fn a_key_that_is_exchanged_is_used_at_once() {
    let server = S3Server::shared();
    let keys = tempfile::tempdir().unwrap();
    let mut order = server.order();
    order.credentials = Some(keys.path().display().to_string());
    let put = |secret: &str| {
        fs::write(keys.path().join("AWS_ACCESS_KEY_ID"), "backup").unwrap();
        fs::write(keys.path().join("AWS_SECRET_ACCESS_KEY"), secret).unwrap();
    };
    put("wrong");
    let store = open(&order);
    assert_eq!(store.backups().unwrap_err().reason, Reason::Credentials);
    put(SECRET);
    assert_eq!(store.backups().unwrap(), []);
}

#[test]
fn calls_may_be_made_from_every_kind_of_thread() {
    let store = Arc::new(open(&S3Server::shared().order()));
    let ask = |store: &Arc<S3Bucket>| {
        let store = Arc::clone(store);
        move || store.backups().unwrap().len()
    };
    assert_eq!(std::thread::spawn(ask(&store)).join().unwrap(), 0);
    assert_eq!(runtime().block_on(async { tokio::task::spawn_blocking(ask(&store)).await.unwrap() }), 0);
    let on_a_worker = ask(&store);
    assert_eq!(runtime().block_on(async { tokio::spawn(async move { on_a_worker() }).await.unwrap() }), 0);
    let inside = ask(&store);
    assert_eq!(runtime().block_on(async move { inside() }), 0);
}

#[test]
fn a_certificate_of_ones_own_is_trusted_when_it_is_given() {
    let server = S3Server::start_with(|root| {
        let script = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=test' -keyout ca.key -out ca.crt
            openssl req -newkey rsa:2048 -nodes -subj '/CN=s3' -keyout tls.key -out tls.csr
            printf 'subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE' > leaf
            openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile leaf -out tls.crt";
        let made = Command::new("sh").args(["-ec", script]).current_dir(root).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        vec![
            format!("-s3.cert.file={}", root.join("tls.crt").display()),
            format!("-s3.key.file={}", root.join("tls.key").display()),
        ]
    });
    let mut order = server.order();
    order.endpoint = Some(format!("https://{}", server.tls_address()));
    is_told(
        open(&order).backups().map(drop).map_err(told),
        "Unreachable: cannot list ",
        "the certificate of https://127.0.0.1:",
    );
    order.ca_file = Some(server.path("ca.crt").display().to_string());
    assert_eq!(open(&order).backups().unwrap(), []);
    order.ca_file = Some(server.path("s3.json").display().to_string());
    let _inside = runtime().enter();
    is_told(
        S3Bucket::open(&order).map(drop).map_err(told),
        "Credentials: cannot use the certificates in ",
        "no certificate",
    );
}
