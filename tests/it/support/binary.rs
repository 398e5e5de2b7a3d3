//! The real binary: in a folder of its own, with no environment but what a test gives it.

use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tempfile::TempDir;

use super::gateway::{Reply, eventually};

/// A folder to run in.
pub(crate) struct Home {
    folder: TempDir,
    env: Vec<(String, String)>,
    started: AtomicUsize,
}

/// What a command said, and its exit code.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), env: Vec::new(), started: AtomicUsize::new(0) }
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and answers its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(args).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let output = self.command(args).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts a gateway, which must come up.
    pub(crate) async fn serve(&self, args: &[&str]) -> Running {
        self.started(self.command(&[&["serve"], args].concat())).await
    }

    /// The same by way of a shell, with a file as number 3: `before` is what the shell does before.
    pub(crate) async fn serve_by(&self, before: &str, third: Stdio) -> Running {
        let mut command = Command::new("/bin/sh");
        let script = format!("{before} \"$0\" serve 3<&0 </dev/null");
        command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_weir"));
        command.current_dir(self.folder.path()).env_clear().stdin(third);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        self.started(command).await
    }

    async fn started(&self, mut command: Command) -> Running {
        // Each has its own: several may run at once.
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.path(&format!("stdout-{number}")), self.path(&format!("stderr-{number}")));
        let child = command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn().unwrap();
        let mut running = Running { child, out, err, addr: ([127, 0, 0, 1], 0).into() };
        running.addr = eventually("the gateway's greeting", async || {
            let out = running.out();
            let rest = out.split_once("listens on http://").filter(|_| out.contains("try it:"))?.1;
            rest.split_whitespace().next()?.parse().ok()
        })
        .await;
        running
    }
}

/// A gateway in a process of its own; killed when it is let go.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    pub(crate) addr: SocketAddr,
}

impl Running {
    /// Its standard output so far.
    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap()
    }

    /// Its log so far.
    pub(crate) fn err(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    /// The rest of the line of its greeting that begins so.
    pub(crate) fn told(&self, start: &str) -> Option<String> {
        self.out().lines().find_map(|line| line.strip_prefix(start)).map(|rest| rest.trim().to_owned())
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Whether it runs no more, and with which code it ended.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> i32 {
        eventually("the end of the process", async || self.ended()).await
    }

    /// Any request, on a connection of its own.
    pub(crate) async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let (head, body) = self.send(method, path, headers, body).await.into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        Reply { status: head.status, headers: head.headers, body }
    }

    /// As [`Running::request`]; the body is left to be read.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> http::Response<hyper::body::Incoming> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.url()).parse().unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        client.request(request).await.expect("the gateway answers")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
