//! A gateway that starts takes the listening sockets of the one that runs, over a UNIX socket, and tells it when it
//! serves; the old one then accepts nothing more, finishes what it has, and ends. The sockets are never closed, so
//! that no connection is refused, and a new gateway that fails to start changes nothing.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::listen::{METRICS, Socket};

/// Most sockets that are handed over.
const MAX_SOCKETS: usize = 8;
/// Said when the new gateway serves.
const SERVING: u8 = b'R';
/// How long the old gateway may take to hand over.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the new one may take to start before another may try.
const START: Duration = Duration::from_secs(300);

/// The gateway that runs, until it is told to end.
#[derive(Debug)]
pub(super) struct Predecessor(StdStream);

impl Predecessor {
    /// The sockets of the gateway that listens at `path`, and that gateway; none where nobody does.
    ///
    /// # Errors
    /// When somebody listens there and hands nothing over.
    pub(super) fn find(path: &Path) -> io::Result<Option<(Vec<Socket>, Self)>> {
        let stream = match StdStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        stream.set_read_timeout(Some(ANSWER))?;
        let (kinds, fds) = receive(&stream)?;
        let name = |kind: u8| if kind == b'm' { METRICS } else { "api" }.to_owned();
        let sockets = kinds.into_iter().zip(fds).map(|(kind, fd)| Socket { name: name(kind), listener: fd.into() });
        let sockets: Vec<Socket> = sockets.collect();
        if sockets.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no socket was handed over"));
        }
        Ok(Some((sockets, Self(stream))))
    }

    /// Tells it that this gateway serves.
    ///
    /// # Errors
    /// When it has gone meanwhile, and with it whoever would end.
    pub(super) fn relieve(mut self) -> io::Result<()> {
        self.0.write_all(&[SERVING])?;
        // It closes when it has heard.
        self.0.read(&mut [0]).map(drop)
    }
}

fn receive(stream: &StdStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut kinds = [0; MAX_SOCKETS];
    let got = recvmsg(stream, &mut [IoSliceMut::new(&mut kinds)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    Ok((kinds[..got.bytes.min(MAX_SOCKETS)].to_vec(), fds))
}

fn send(stream: &UnixStream, sockets: &[Socket]) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().take(MAX_SOCKETS).map(|socket| socket.listener.as_fd()).collect();
    let kinds: Vec<u8> = sockets.iter().map(|socket| if socket.name == METRICS { b'm' } else { b'a' }).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("the sockets do not fit into one message"));
    }
    sendmsg(stream, &[IoSlice::new(&kinds[..fds.len()])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Waits for the gateway that comes after this one.
#[derive(Debug)]
pub(super) struct Heir {
    listener: UnixListener,
    path: PathBuf,
    sockets: Vec<Socket>,
}

impl Heir {
    /// Listens at `path`, for this user alone, in place of whoever listened there.
    ///
    /// # Errors
    /// When that cannot be.
    pub(super) fn expect(path: &Path, sockets: Vec<Socket>) -> io::Result<Self> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        // Of a process of that number that ended without tidying up.
        let _ = std::fs::remove_file(&aside);
        let listener = UnixListener::bind(&aside)?;
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&aside, path)?;
        Ok(Self { listener, path: path.to_owned(), sockets })
    }

    /// Runs until another gateway serves, which `relieved` tells, or this one stops.
    pub(super) async fn run(self, relieved: CancellationToken, stop: CancellationToken) {
        loop {
            let heir = tokio::select! {
                () = stop.cancelled() => {
                    // Another one's by now, perhaps, which makes no difference: nothing is handed over twice.
                    let _ = std::fs::remove_file(&self.path);
                    return;
                }
                heir = self.listener.accept() => heir,
            };
            let Ok((stream, _)) = heir else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let over = tokio::select! {
                () = stop.cancelled() => return,
                over = tokio::time::timeout(START, self.hand_over(stream)) => over,
            };
            match over {
                Ok(Ok(true)) => {
                    tracing::info!("another gateway has the sockets and serves; this one finishes what it has");
                    return relieved.cancel();
                }
                Ok(Ok(false)) => tracing::warn!("another gateway asked for the sockets and ended before it served"),
                Ok(Err(error)) => tracing::warn!(%error, "the sockets were not handed over: {error}"),
                Err(_) => tracing::warn!("another gateway asked for the sockets and did not serve within {START:?}"),
            }
        }
    }

    /// Answers whether the other one serves.
    async fn hand_over(&self, mut stream: UnixStream) -> io::Result<bool> {
        if !is_same_user(&stream)? {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user asked for them"));
        }
        stream.writable().await?;
        stream.async_io(Interest::WRITABLE, || send(&stream, &self.sockets)).await?;
        let mut word = [0];
        Ok(stream.read(&mut word).await? == 1 && word == [SERVING])
    }
}

fn is_same_user(stream: &UnixStream) -> io::Result<bool> {
    let own = std::fs::metadata("/proc/self")?.uid();
    Ok(stream.peer_cred()?.uid() == own)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn socket(name: &str) -> Socket {
        Socket { name: name.into(), listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    async fn find(path: &Path) -> io::Result<Option<(Vec<Socket>, Predecessor)>> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || Predecessor::find(&path)).await.unwrap()
    }

    #[tokio::test]
    async fn sockets_go_from_one_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        assert!(find(&path).await.unwrap().is_none(), "nobody is there");
        let sockets = vec![socket("api"), socket(METRICS)];
        let ports: Vec<_> = sockets.iter().map(|socket| socket.listener.local_addr().unwrap()).collect();
        let heir = Heir::expect(&path, sockets).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let (relieved, stop) = (CancellationToken::new(), CancellationToken::new());
        let next = async {
            // One that fails to start changes nothing.
            drop(find(&path).await.unwrap().unwrap());
            let (taken, predecessor) = find(&path).await.unwrap().unwrap();
            assert!(!relieved.is_cancelled());
            let got: Vec<_> = taken.iter().map(|socket| socket.listener.local_addr().unwrap()).collect();
            assert_eq!((got, taken[0].name.as_str(), taken[1].name.as_str()), (ports, "api", METRICS));
            tokio::task::spawn_blocking(move || predecessor.relieve()).await.unwrap().unwrap();
        };
        tokio::join!(heir.run(relieved.clone(), stop), next);
        assert!(relieved.is_cancelled());
        assert!(find(&path).await.unwrap().is_none(), "nobody listens there any more");
    }

    #[tokio::test]
    async fn an_ordinary_stop_tidies_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weir.sock");
        let heir = Heir::expect(&path, vec![socket("api")]).unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        heir.run(CancellationToken::new(), stop).await;
        assert!(!path.exists());
    }
}
