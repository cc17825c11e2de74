//! A stretch of network in front of the S3 server, which fails when a test says so.
//!
//! Each connection carries one request. What passed is counted, so that a test can tell what was
//! sent again from what was not.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// One request, as far as a test tells them apart.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET`, `PUT`, ….
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Bytes of its body.
    pub(crate) length: u64,
    /// Whether its body comes in frames of S3's own, which not every server understands.
    pub(crate) is_framed: bool,
    /// Whether it shall only be done when nothing is there.
    pub(crate) is_conditional: bool,
    /// How many requests for the same were seen before.
    pub(crate) before: usize,
}

impl Request {
    /// The number of the part this uploads.
    pub(crate) fn part(&self) -> Option<u32> {
        let number = self.target.split(['?', '&']).find_map(|pair| pair.strip_prefix("partNumber="));
        if self.method == "PUT" { number?.parse().ok() } else { None }
    }

    /// Whether this makes an object of the parts uploaded.
    pub(crate) fn completes(&self) -> bool {
        self.method == "POST" && self.target.contains("uploadId=")
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It passes.
    Pass,
    /// It is answered here, with a status and S3's code for it.
    Answer(u16, &'static str),
    /// The connection breaks after that many bytes of its body.
    CutBody(u64),
    /// The connection breaks after that many bytes of the answer.
    CutAnswer(usize),
    /// It passes in small pieces with pauses.
    Crawl,
    /// It waits until the test lets it go.
    Hold,
}

type Rule = Box<dyn FnMut(&Request) -> Fate + Send>;

struct Shared {
    server: String,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Request>>,
    is_held: Mutex<bool>,
    released: Condvar,
}

/// A running proxy. It ends with the process; its connections with their clients.
pub(crate) struct Proxy {
    shared: Arc<Shared>,
    address: String,
}

impl Proxy {
    /// Starts one in front of a server, which lets everything pass.
    pub(crate) fn before(server: &str) -> Self {
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            rule: Mutex::new(Box::new(|_| Fate::Pass)),
            seen: Mutex::default(),
            is_held: Mutex::new(true),
            released: Condvar::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                // A connection that breaks is what this is for.
                std::thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Self { shared, address }
    }

    /// Its address as an endpoint.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, this decides about requests.
    pub(crate) fn rule(&self, rule: impl FnMut(&Request) -> Fate + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// What was seen since this was asked last.
    pub(crate) fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }

    /// How many requests were seen for which this holds.
    pub(crate) fn count(&self, holds: impl Fn(&Request) -> bool) -> usize {
        self.shared.seen.lock().unwrap().iter().filter(|request| holds(request)).count()
    }

    /// Lets go what is held, now and from now on.
    pub(crate) fn release(&self) {
        *self.shared.is_held.lock().unwrap() = false;
        self.shared.released.notify_all();
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let head = read_head(&mut client)?;
        let Some(request) = self.note(&head) else { return Ok(()) };
        let fate = (self.rule.lock().unwrap())(&request);
        let mut body = (&client).take(request.length);
        match fate {
            Fate::Answer(status, code) => {
                io::copy(&mut body, &mut io::sink())?;
                return answer(&mut client, status, code);
            }
            Fate::Hold => self.hold(),
            Fate::Pass | Fate::Crawl | Fate::CutBody(_) | Fate::CutAnswer(_) => {}
        }
        let mut server = TcpStream::connect(&self.server)?;
        server.write_all(&closing(&head))?;
        match fate {
            Fate::CutBody(bytes) => return io::copy(&mut (&client).take(bytes), &mut server).map(drop),
            Fate::Crawl => crawl(&mut body, &mut server)?,
            _ => drop(io::copy(&mut body, &mut server)?),
        }
        match fate {
            Fate::CutAnswer(bytes) => io::copy(&mut server.take(bytes as u64), &mut client)?,
            _ => io::copy(&mut server, &mut client)?,
        };
        Ok(())
    }

    fn note(&self, head: &[u8]) -> Option<Request> {
        let head = String::from_utf8_lossy(head);
        let mut words = head.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let is_framed = head.to_ascii_lowercase().contains("aws-chunked");
        let is_conditional = head.to_ascii_lowercase().contains("\r\nif-none-match:");
        let mut seen = self.seen.lock().unwrap();
        let before = seen.iter().filter(|request| request.method == method && request.target == target).count();
        let request = Request { method, target, length: length.unwrap_or(0), is_framed, is_conditional, before };
        seen.push(request.clone());
        Some(request)
    }

    fn hold(&self) {
        let held = self.is_held.lock().unwrap();
        drop(self.released.wait_while(held, |is_held| *is_held).unwrap());
    }
}

fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

/// The head with a wish for the connection to be closed afterwards; no signature covers that.
fn closing(head: &[u8]) -> Vec<u8> {
    let (lines, end) = head.split_at(head.len() - 2);
    [lines, b"connection: close\r\n", end].concat()
}

fn answer(client: &mut TcpStream, status: u16, code: &str) -> io::Result<()> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>as the test says</Message></Error>");
    let length = body.len();
    write!(client, "HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn crawl(body: &mut impl Read, server: &mut TcpStream) -> io::Result<()> {
    let mut piece = vec![0; 256 << 10];
    loop {
        let count = body.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        server.write_all(&piece[..count])?;
        std::thread::sleep(Duration::from_millis(5));
    }
}
