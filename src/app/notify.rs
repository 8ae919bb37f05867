//! Tells whatever started the process how it stands, where that asks to be told: systemd does of a service with
//! `Type=notify`.

use std::env;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The models are loaded, and requests are taken.
pub const READY: &str = "READY=1";

/// It was told to stop.
pub const STOPPING: &str = "STOPPING=1";

/// Says how the process stands. Where nobody asked, or nobody listens, it does nothing.
pub fn notify(state: &str) {
    if let Some(socket) = env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket.to_string_lossy(), state)
    {
        tracing::warn!(%error, state, "whatever started rserve could not be told how it stands");
    }
}

/// `to` is a path, or a name in the kernel's own space where it begins with `@`.
fn send(to: &str, state: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let sent = socket.send_to_addr(state.as_bytes(), &address(to)?)?;
    if sent == state.len() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::WriteZero)) }
}

fn address(to: &str) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = to.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let named = path.to_str().unwrap().to_owned();
        let hidden = format!("@rserve-test-{}", std::process::id());
        let listeners = [&named, &hidden].map(|to| UnixDatagram::bind_addr(&address(to).unwrap()).unwrap());
        for (listener, to) in listeners.iter().zip([&named, &hidden]) {
            send(to, READY).unwrap();
            let mut said = [0; 32];
            let length = listener.recv(&mut said).unwrap();
            assert_eq!(&said[..length], b"READY=1");
        }
        assert!(send(folder.path().join("nobody").to_str().unwrap(), STOPPING).is_err());
    }
}
