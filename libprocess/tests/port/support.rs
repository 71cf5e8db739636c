//! A service that records what it is handed, and raw sockets to talk to it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Limits, Message, Server, Service, StreamItem};
use seams::Seams;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore, mpsc};

/// Bounds every wait of a test; never reached when the code is right.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the service was handed and what it waits for.
pub(crate) struct Recorder {
    messages: mpsc::Sender<Message>,
    requests: mpsc::Sender<HttpRequest>,
    /// `/wait` is answered once a permit is there; each message takes one if `is_slow`.
    pub(crate) gate: Semaphore,
    pub(crate) is_slow: bool,
    /// Handed to the next `/stream` request, then `/abortable`.
    pub(crate) stream: Mutex<Option<mpsc::Receiver<Bytes>>>,
    pub(crate) abortable: Mutex<Option<mpsc::Receiver<StreamItem>>>,
}

impl Service for Recorder {
    fn knows_actor(&self, id: &str) -> bool {
        id == "master" || id == "slave(1)"
    }

    fn deliver(&self, message: Message) -> BoxFuture<'_, ()> {
        async move {
            if self.is_slow {
                self.gate.acquire().await.unwrap().forget();
            }
            self.messages.send(message).await.unwrap();
        }
        .boxed()
    }

    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        async move {
            let path = request.path.clone();
            let body = request.body.clone();
            self.requests.send(request).await.unwrap();
            match path.as_str() {
                "/wait" => {
                    self.gate.acquire().await.unwrap().forget();
                    HttpResponse::text(200, "waited")
                }
                "/stream" => HttpResponse::stream("application/json", self.stream.lock().await.take().unwrap()),
                "/abortable" => {
                    let mut response = HttpResponse::new(200);
                    response.body = libprocess::Body::AbortableStream(self.abortable.lock().await.take().unwrap());
                    response
                }
                "/large" => HttpResponse::ok("text/plain", vec![b'x'; 3_000_000]),
                "/panic" => panic!("a bug in a handler"),
                "/accepted" => HttpResponse::new(202),
                _ => HttpResponse::ok("text/plain", body),
            }
        }
        .boxed()
    }
}

/// A server with a recorder behind it.
pub(crate) struct Port {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) messages: mpsc::Receiver<Message>,
    pub(crate) requests: mpsc::Receiver<HttpRequest>,
    pub(crate) recorder: Arc<Recorder>,
}

impl Port {
    pub(crate) async fn start() -> Port {
        Port::start_with(Limits::default(), false).await
    }

    pub(crate) async fn start_with(limits: Limits, is_slow: bool) -> Port {
        let (message_sender, messages) = mpsc::channel(10_000);
        let (request_sender, requests) = mpsc::channel(10_000);
        let recorder = Arc::new(Recorder {
            messages: message_sender,
            requests: request_sender,
            gate: Semaphore::new(0),
            is_slow,
            stream: Mutex::default(),
            abortable: Mutex::default(),
        });
        let server = Server::start(Seams::real(), loopback(0), limits, recorder.clone())
            .await
            .unwrap();
        Port {
            address: server.local_addr(),
            server,
            messages,
            requests,
            recorder,
        }
    }

    pub(crate) fn v4(&self) -> SocketAddrV4 {
        match self.address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    pub(crate) async fn connect(&self) -> Raw {
        Raw(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends `bytes` on a connection of its own, closes the sending side and yields everything that comes back.
    pub(crate) async fn exchange(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut raw = self.connect().await;
        raw.send(bytes).await;
        raw.0.shutdown().await.unwrap();
        raw.rest().await
    }

    /// Sends `bytes` and yields everything up to the close by the server, without closing first.
    pub(crate) async fn exchange_open(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut raw = self.connect().await;
        raw.send(bytes).await;
        raw.rest().await
    }
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A raw socket.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Everything up to the end; a reset counts as the end.
    pub(crate) async fn rest(&mut self) -> String {
        let mut received = Vec::new();
        bounded(async {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = self.0.read(&mut buffer).await {
                received.extend_from_slice(&buffer[..count]);
            }
        })
        .await;
        String::from_utf8_lossy(&received).into_owned()
    }

    /// Bytes up to and including the first occurrence of `end`.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        let mut received = Vec::new();
        bounded(async {
            while !received.ends_with(end.as_bytes()) {
                received.push(self.0.read_u8().await.unwrap_or_else(|error| {
                    panic!("{error} after {:?}", String::from_utf8_lossy(&received));
                }));
            }
        })
        .await;
        String::from_utf8(received).unwrap()
    }

    /// One answer with a `Content-Length`: head and body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.until("\r\n\r\n").await;
        let length = field(&head, "Content-Length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        bounded(self.0.read_exact(&mut body)).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }
}

/// A header field of a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The bodies' last line, for answers with `Connection: close` or at the end of a connection.
pub(crate) fn status_and_body(answer: &str) -> (&str, &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    (
        head.lines()
            .next()
            .unwrap_or_default()
            .strip_prefix("HTTP/1.1 ")
            .unwrap_or_default(),
        body,
    )
}

/// Waits with patience.
pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it never happened")
}

/// The next item of a channel, with patience.
pub(crate) async fn next<T>(receiver: &mut mpsc::Receiver<T>) -> T {
    bounded(receiver.recv()).await.expect("the channel has ended")
}
