//! Tells a service manager how the gateway does (systemd's `sd_notify`).

use std::os::unix::net::UnixDatagram;

/// Sends a state such as `READY=1` to the socket that `NOTIFY_SOCKET` names, if it names one.
pub(super) fn tell(env: &dyn Fn(&str) -> Option<String>, state: &str) {
    let Some(name) = env("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&name, state.as_bytes()) {
        tracing::warn!(%error, "the service manager could not be told {state}: {error}");
    }
}

fn send(name: &str, state: &[u8]) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        return socket.send_to_addr(state, &addr).map(drop);
    }
    socket.send_to(state, name).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_told_by_path_and_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let name = format!("weir-test-{}", std::process::id());
        let addr =
            <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name).unwrap();
        let by_name = UnixDatagram::bind_addr(&addr).unwrap();
        for (value, socket) in [(path.display().to_string(), by_path), (format!("@{name}"), by_name)] {
            tell(&|_| Some(value.clone()), "READY=1");
            let mut said = [0; 16];
            let len = socket.recv(&mut said).unwrap();
            assert_eq!(&said[..len], b"READY=1");
        }
        tell(&|_| None, "READY=1");
        tell(&|_| Some("/nowhere/at/all".into()), "READY=1");
    }
}
