//! Ports on loopback that no other test takes: chosen below the range of outgoing connections, and locked by a file,
//! so that a service can be killed and started again on the same one.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    process,
};

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port that is ours while this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Reserves a free port.
    pub fn reserve() -> Port {
        let folder = lock_folder();
        // Tests of one run begin at different places, so that they rarely meet.
        let start = u16::try_from(process::id() * 37 % u32::from(COUNT));
        let start = start.expect("the remainder is smaller than a port number");
        (0..COUNT)
            .map(|step| FIRST + (start + step) % COUNT)
            .find_map(|number| Port::try_reserve(&folder, number))
            .expect("one of 10,000 ports is free")
    }

    fn try_reserve(folder: &std::path::Path, number: u16) -> Option<Port> {
        let lock = File::create(folder.join(number.to_string())).ok()?;
        lock.try_lock().ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Port {
            number,
            _lock: lock,
        })
    }

    /// Returns the address on loopback.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.number))
    }
}

fn lock_folder() -> PathBuf {
    let user = fs::metadata("/proc/self").map_or(0, |process| process.uid());
    let folder = env::temp_dir().join(format!("bekal-ports-{user}"));
    fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_not_given_twice() {
        let first = Port::reserve();
        let second = Port::reserve();

        assert_ne!(first.address(), second.address());
    }
}
