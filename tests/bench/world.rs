//! What is measured on: one real server full of rows, a volume, and a real S3 server beside them.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use mariadb_backup::model::backup_id::BackupId;
use mariadb_backup::model::catalogue::Checksum;
use mariadb_backup::model::manifest::hex;
use mariadb_backup::model::order::{
    CheckOrder, CopyOrder, Depth, ExpectedBackup, KeepOrder, OnCorrupt, RunnerTask, S3Store, Stores,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::measure::{Sample, TIMES, end_of, timed};
use crate::real_server::{Image, RealServer, from_environment, wait_for};

/// Rows of about a kilobyte in one transaction.
const ROWS: usize = 90_000;

/// How rclone finds the S3 server. A bundle of authorities in the environment is one thing it cannot stand.
const RCLONE: &str = "unset AWS_CA_BUNDLE; export RCLONE_CONFIG=/dev/null RCLONE_CONFIG_S3_TYPE=s3 RCLONE_CONFIG_S3_PROVIDER=Other \
    RCLONE_CONFIG_S3_ENDPOINT=http://127.0.0.1:8333 RCLONE_CONFIG_S3_ACCESS_KEY_ID=bench \
    RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=benchsecret RCLONE_CONFIG_S3_FORCE_PATH_STYLE=true; ";

pub(crate) struct World {
    pub(crate) server: RealServer,
    s3: Child,
}

impl World {
    pub(crate) fn start() -> Self {
        // The agent as it is released.
        let image = Image::of(from_environment("GROUND_ROOTFS"), from_environment("AGENT_RELEASE"));
        let server = RealServer::start(&image);
        server.sql("SET GLOBAL innodb_buffer_pool_size=512*1024*1024; SET GLOBAL innodb_log_file_size=512*1024*1024");
        server.sql("CREATE TABLE shop.events (id BIGINT PRIMARY KEY AUTO_INCREMENT, kind VARCHAR(40), body TEXT)");
        server.sql(
            "CREATE TABLE shop.digits (id BIGINT PRIMARY KEY AUTO_INCREMENT, k INT, c VARCHAR(120), d VARCHAR(120), \
             pad VARCHAR(120), KEY (k))",
        );
        let s3 = start_s3(&server);
        let world = Self { server, s3 };
        wait_for("the S3 server", || world.shell_works(&format!("{RCLONE} /mnt/rclone lsd s3:backups")));
        world
    }

    fn shell_works(&self, script: &str) -> Option<()> {
        let status =
            self.server.inside("bash").args(["-c", script]).stderr(Stdio::null()).stdout(Stdio::null()).status();
        status.unwrap().success().then_some(())
    }

    /// Adds rows like those the goals were found with: more than half are groups of random digits, on
    /// which gzip is slow, the others records of an application with JSON, UUIDs and tokens.
    pub(crate) fn load(&self, batches: usize) {
        let digits = ["LPAD(FLOOR(RAND()*99999999999), 11, '0')"; 10].join(", ");
        for _ in 0..batches {
            self.server.sql(&format!(
                "SET SESSION wsrep_on=OFF; USE shop;
                 INSERT INTO events (kind, body) SELECT ELT(1+RAND()*3,'created','paid','sent','late'),
                 CONCAT('{{\"id\":\"', UUID(), '\",\"token\":\"', TO_BASE64(RANDOM_BYTES(150)), '\",\"amounts\":[',
                 REPEAT(CONCAT(FLOOR(RAND()*100000), ',0,'), 20), '],\"text\":\"', SHA2(RAND(), 512), MD5(RAND()), '\"}}')
                 FROM seq_1_to_{ROWS};
                 INSERT INTO digits (k, c, d, pad) SELECT FLOOR(RAND()*1000000), CONCAT_WS('-', {digits}),
                 CONCAT_WS('-', {digits}), CONCAT_WS('-', {digits}) FROM seq_1_to_{ROWS}"
            ));
        }
    }

    /// Times a shell command inside, as root.
    pub(crate) fn shell(&self, script: &str) -> Sample {
        timed(
            self.server.inside("bash").args(["-c", &format!("{RCLONE}{TIMES} {{ {script}; }}")]).stdout(Stdio::null()),
        )
    }

    /// The raw tool, its stream going to `out`.
    pub(crate) fn raw(&self, out: Stdio) -> Sample {
        drop_caches();
        let script = format!("{TIMES}{} 2> /mnt/raw.log", raw_command("mbstream", 2));
        timed(self.server.inside("bash").args(["-c", &script]).stdout(out))
    }

    /// Copies with the runner. The page cache is dropped first, as before everything that reads the data.
    pub(crate) fn back_up(&self, name: &str, stores: Stores) -> Sample {
        drop_caches();
        let begun = Instant::now();
        let (agent, _gate) = self.server.copy(CopyOrder { stores, ..RealServer::copy_order(name) });
        end_of(agent, begun).0
    }

    /// Verifies backups on the volume.
    pub(crate) fn check(&self, names: &[String], depth: Depth) -> (Sample, Value) {
        let ids: Vec<BackupId> = names.iter().map(|name| name.parse().unwrap()).collect();
        let expected_backup = |backup: &BackupId| ExpectedBackup { backup: backup.clone(), local: true, s3: false };
        let order = CheckOrder {
            stores: local(),
            backups: ids.iter().map(expected_backup).collect(),
            expected: names.iter().flat_map(|name| self.expected(name)).collect(),
            known: ids,
            depth,
            repair: false,
            on_corrupt: OnCorrupt::Fail,
        };
        let begun = Instant::now();
        end_of(self.server.agent(RunnerTask::Check(order), ""), begun)
    }

    /// Uploads finished backups.
    pub(crate) fn upload(&self, names: &[String]) -> Sample {
        drop_caches();
        let order = KeepOrder {
            stores: both(),
            remove: Vec::new(),
            upload: names.iter().map(|name| name.parse().unwrap()).collect(),
            download: Vec::new(),
            expected: names.iter().flat_map(|name| self.expected(name)).collect(),
            wanted_uploads: Vec::new(),
            limit_secs: None,
        };
        let begun = Instant::now();
        let (sample, word) = end_of(self.server.agent(RunnerTask::Keep(order), ""), begun);
        assert_eq!(word["done"]["uploaded"], "y".repeat(names.len()), "{word}");
        sample
    }

    /// Removes every backup from both stores.
    pub(crate) fn clear(&self) {
        self.server.shell("rm -rf /mnt/store/base /mnt/store/.seals");
        self.shell("/mnt/rclone purge s3:backups/bench; /mnt/rclone purge s3:backups/rclone");
    }

    /// What a catalogue would hold of a backup on the volume.
    pub(crate) fn expected(&self, name: &str) -> BTreeMap<String, Checksum> {
        let path = format!("{name}/manifest.json");
        let bytes = fs::read(self.server.path(&format!("store/{path}"))).unwrap();
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        let stream = &manifest["files"]["backup.mbstream.zst"];
        let sum = |checksum: &str, size| Checksum { checksum: checksum.to_owned(), algorithm: None, size };
        BTreeMap::from([
            (path, sum(&hex(&Sha256::digest(&bytes)), Some(bytes.len() as u64))),
            (format!("{name}/backup.mbstream.zst"), sum(stream["sha256"].as_str().unwrap(), stream["size"].as_u64())),
        ])
    }

    /// Makes more backups of one: the same bytes under other names, which nobody has read yet.
    pub(crate) fn multiply(&self, name: &str, times: usize) -> Vec<String> {
        let made = |n| format!("base/2026-01-01_00-00-{n:02}");
        for n in 0..times {
            let (from, to) = (format!("/mnt/store/{name}"), format!("/mnt/store/{}", made(n)));
            self.server.shell(&format!(
                "cp -a {from} {to}; sed -i 's#\"{name}\"#\"{}\"#' {to}/manifest.json; chown -R mysql:mysql {to}",
                made(n)
            ));
        }
        (0..times).map(made).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It may have ended already.
        let _gone = self.s3.kill();
        let _gone = self.s3.wait();
    }
}

/// The tool's command line, as the agent would give it.
pub(crate) fn raw_command(format: &str, parallel: u32) -> String {
    format!(
        "setpriv --reuid=mysql --regid=mysql --clear-groups mariadb-backup --no-defaults --backup --stream={format} \
         --parallel={parallel} --galera-info --host=127.0.0.1 --port=3306 --user=backup --password='b\"#\\p' \
         --datadir=/mnt/data"
    )
}

pub(crate) fn local() -> Stores {
    Stores { local: Some("/mnt/store".to_owned()), s3: None }
}

pub(crate) fn both() -> Stores {
    let s3 = S3Store {
        owner: None,
        endpoint: Some("http://127.0.0.1:8333".to_owned()),
        bucket: "backups".to_owned(),
        prefix: "bench".to_owned(),
        region: "us-east-1".to_owned(),
        path_style: true,
        checksums_when_required: true,
        max_parts: 10_000,
        bytes_per_sec: 0,
        credentials: Some("/mnt/s3keys".to_owned()),
        ca_file: None,
    };
    Stores { s3: Some(s3), ..local() }
}

/// Makes the next reader read from the disk.
pub(crate) fn drop_caches() {
    let dropped = Command::new("sh").args(["-c", "sync; echo 3 > /proc/sys/vm/drop_caches"]).status();
    assert!(dropped.unwrap().success(), "the benchmark needs root: it drops the page cache");
}

fn start_s3(server: &RealServer) -> Child {
    fs::copy(from_environment("GROUND_S3"), server.path("weed")).unwrap();
    fs::copy("/usr/bin/rclone", server.path("rclone")).expect("`make bench` installs rclone");
    let config = r#"{"identities":[{"name":"bench","credentials":[{"accessKey":"bench","secretKey":"benchsecret"}],
        "actions":["Admin","Read","Write","List","Tagging"]}]}"#;
    fs::write(server.path("s3.json"), config).unwrap();
    server.shell(
        "mkdir /mnt/s3data /mnt/s3keys; printf bench > /mnt/s3keys/AWS_ACCESS_KEY_ID
         printf benchsecret > /mnt/s3keys/AWS_SECRET_ACCESS_KEY",
    );
    let log = fs::File::create(server.path("s3.log")).unwrap();
    server
        .inside("/mnt/weed")
        .args(["mini", "-dir=/mnt/s3data", "-ip=127.0.0.1", "-s3.config=/mnt/s3.json", "-bucket=backups"])
        .args(["-admin.ui=false", "-webdav=false"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
