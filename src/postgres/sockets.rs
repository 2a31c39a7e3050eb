//! This process's TCP connections to a server that no longer answers. sqlx gives no hold on them, and sets no timeout.
use std::{
    collections::HashSet,
    fs,
    net::SocketAddr,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
};

use rustix::net::{Shutdown, getpeername, shutdown};

/// Ends every connection to one of `peers`: whoever waits for an answer gets an error at once. Returns how many.
pub(super) fn cut(peers: &HashSet<SocketAddr>) -> usize {
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let connections = numbers
        .filter_map(duplicate)
        .filter(|socket| peer(socket).is_some_and(|peer| peers.contains(&peer)));
    connections
        .filter(|connection| shutdown(connection, Shutdown::Both).is_ok())
        .count()
}

/// A hold of our own: it stays the same file whatever its first owner does meanwhile.
fn duplicate(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the number was open a moment ago, and is borrowed for one call. Were it closed meanwhile the call fails;
    // were it another file's by now, that one is held, looked at, and let go.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, 0).ok()
}

fn peer(socket: &OwnedFd) -> Option<SocketAddr> {
    getpeername(socket).ok()??.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn whoever_waits_for_one_of_these_is_told_and_nobody_else() {
        let servers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = servers.each_ref().map(|server| server.local_addr().unwrap());
        let clients = addresses.map(|address| TcpStream::connect(address).unwrap());
        let accepted = servers.each_ref().map(|server| server.accept().unwrap().0);

        let waits = clients[0].try_clone().unwrap();
        let waiting = std::thread::spawn(move || (&waits).read(&mut [0]).unwrap());
        assert!(cut(&HashSet::from([addresses[0]])) >= 1);
        assert_eq!(waiting.join().unwrap(), 0, "the end");
        clients[1].set_nonblocking(true).unwrap();
        let other = (&clients[1]).read(&mut [0]).unwrap_err();
        assert_eq!(other.kind(), std::io::ErrorKind::WouldBlock);
        drop(accepted);
    }
}
