//! A TCP proxy between two processes that cuts, stalls or slows what runs through it, and heals again.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// What happens to what runs through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// It passes.
    #[default]
    Fair,
    /// Open connections are closed, new ones at once.
    Cut,
    /// Nothing passes in either direction; connections stay open.
    Stalled,
    /// Requests pass, replies do not: the other side acts, and nobody hears of it.
    Mute,
    /// Each piece waits so long before it passes.
    Slow(Duration),
}

/// A proxy that listens on loopback.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Ends its tasks when dropped.
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy to a `host:port`.
    pub async fn start(target: String) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("loopback has a free port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let (weather, seen) = watch::channel(Weather::Fair);
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, seen));
        Proxy {
            address,
            weather,
            _tasks: tasks,
        }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather for all connections, open ones as well.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Closes all connections and lets no new one live.
    pub fn cut(&self) {
        self.set(Weather::Cut);
    }

    /// Lets nothing pass while connections stay open.
    pub fn stall(&self) {
        self.set(Weather::Stalled);
    }

    /// Lets everything pass again.
    pub fn heal(&self) {
        self.set(Weather::Fair);
    }
}

async fn accept(listener: TcpListener, target: String, weather: watch::Receiver<Weather>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(connect(client, target.clone(), weather.clone()));
        // Finished ones are taken away, or the set would grow for ever.
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: TcpStream, target: String, weather: watch::Receiver<Weather>) {
    if *weather.borrow() == Weather::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    // Small messages go at once: the proxy must not add the delay that it does not announce.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = weather.clone();
    tokio::select! {
        _ = cut.wait_for(|weather| *weather == Weather::Cut) => {}
        // Both ways must have ended: one side may have said all it has to say and still listen.
        _ = async {
            tokio::join!(
                pump(from_client, to_server, weather.clone(), false),
                pump(from_server, to_client, weather.clone(), true),
            )
        } => {}
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut weather: watch::Receiver<Weather>,
    replies: bool,
) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        let passes = |weather: &Weather| match weather {
            Weather::Fair | Weather::Cut | Weather::Slow(_) => true,
            Weather::Stalled => false,
            Weather::Mute => !replies,
        };
        // An error means that the proxy is gone, and this task with it.
        let now = *weather.wait_for(passes).await.map_err(io::Error::other)?;
        if let Weather::Slow(wait) = now {
            sleep(wait).await;
        }
        to.write_all(&piece[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(200);

    async fn an_echo_behind_a_proxy() -> (Proxy, JoinSet<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let mut echo = JoinSet::new();
        echo.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                open.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        (Proxy::start(target).await, echo)
    }

    async fn says(stream: &mut TcpStream, word: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(word).await?;
        let mut answer = vec![0; word.len()];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn what_is_stalled_passes_after_healing() {
        let (proxy, _echo) = an_echo_behind_a_proxy().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(says(&mut stream, b"one").await.unwrap(), b"one");

        proxy.stall();
        assert!(timeout(SHORT, says(&mut stream, b"two")).await.is_err());
        proxy.heal();

        let mut answer = [0; 3];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"two");
    }

    #[tokio::test]
    async fn a_cut_closes_what_is_open_and_what_comes() {
        let (proxy, _echo) = an_echo_behind_a_proxy().await;
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(says(&mut stream, b"one").await.unwrap(), b"one");

        proxy.cut();

        assert!(says(&mut stream, b"two").await.is_err());
        let mut second = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(says(&mut second, b"two").await.is_err());
        proxy.heal();
        let mut third = TcpStream::connect(proxy.address()).await.unwrap();
        assert_eq!(says(&mut third, b"two").await.unwrap(), b"two");
    }
}
