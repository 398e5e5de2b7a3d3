//! A throw-away Redis server on loopback, one per test that asks for it, gone with it.

use std::io::BufRead as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use weir::clock::Clock;

/// A server. Dropped, it ends.
pub(crate) struct Redis {
    port: u16,
    /// The folder of its certificate `one.pem`, if it speaks TLS.
    tls: Option<PathBuf>,
    keeper: Option<Child>,
}

/// Starts the server, says so, waits for the end of its input, and clears away.
const KEEPER: &str = r#"
port=$1
certificates=$2
folder=$(mktemp -d)
if [ -n "$certificates" ]; then
  set -- --port 0 --tls-port "$port" --tls-cert-file "$certificates/one.pem" --tls-key-file "$certificates/one-key.pem" \
    --tls-ca-cert-file "$certificates/one-ca.pem" --tls-auth-clients no
else
  set -- --port "$port"
fi
trap '' INT TERM HUP
redis-server "$@" --bind 127.0.0.1 --save '' --appendonly no --dir "$folder" --daemonize no >/dev/null 2>&1 &
server=$!
echo started
exec 1>&-
cat >/dev/null
kill -9 "$server"
rm -rf "$folder"
"#;

impl Redis {
    /// A fresh, empty one.
    ///
    /// # Panics
    /// When no Redis server is installed, or it does not start.
    pub(crate) fn start() -> Self {
        Self::with(None)
    }

    /// One that speaks TLS, for `localhost`, with the certificate `one` of this folder.
    pub(crate) fn with_tls(folder: &Path) -> Self {
        Self::with(Some(folder.to_owned()))
    }

    fn with(tls: Option<PathBuf>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let mut redis = Self { port, tls, keeper: None };
        redis.again();
        redis
    }

    /// Starts it anew where it was.
    pub(crate) fn again(&mut self) {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "weir-test-redis", &self.port.to_string()])
            .arg(self.tls.as_deref().unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let mut said = String::new();
        let out = keeper.stdout.take().expect("stdout is piped");
        std::io::BufReader::new(out).read_line(&mut said).expect("the shell speaks");
        self.keeper = Some(keeper);
        // As often as a server that starts may refuse within ten seconds.
        let (clock, ten) = (Clock::system(), 10_000_000_000);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(clock.mono_ns() < ten, "redis-server is not installed or does not start: run `cargo xtask setup`");
            std::thread::yield_now();
        }
    }

    /// Ends it, as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }

    pub(crate) fn url(&self) -> String {
        match self.tls {
            None => format!("redis://127.0.0.1:{}", self.port),
            Some(_) => format!("rediss://localhost:{}", self.port),
        }
    }

    /// Does something there.
    pub(crate) async fn call<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut call = redis::cmd(command[0]);
        for argument in &command[1..] {
            call.arg(argument);
        }
        call.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
