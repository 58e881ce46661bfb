//! A network between two daemons that can be cut, made deaf, or slowed down.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use daemon::shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::ports;

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Bytes pass.
    Fine,
    /// Connections are closed at once, and so are new ones.
    Cut,
    /// Connections are taken and stay open, but nothing passes.
    BlackHole,
    /// Each piece is kept for so long.
    Slow(Duration),
}

/// A TCP proxy on a free loopback port. It lasts as long as this value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    weather: watch::Sender<Weather>,
    shutdown: Shutdown,
}

impl Proxy {
    /// Starts a proxy in front of a loopback port.
    pub async fn start(target: u16) -> anyhow::Result<Self> {
        let port = ports::free();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let (weather, seen) = watch::channel(Weather::Fine);
        let shutdown = Shutdown::new();
        let tracked = shutdown.clone();
        shutdown.spawn(async move {
            tracked.now.run_until_cancelled(accept(listener, target, seen, tracked.clone())).await;
        });
        Ok(Self { port, weather, shutdown })
    }

    /// Returns where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Changes what the network does, for open connections too.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shutdown.now.cancel();
    }
}

async fn accept(
    listener: TcpListener,
    target: u16,
    weather: watch::Receiver<Weather>,
    shutdown: Shutdown,
) {
    while let Ok((client, _)) = listener.accept().await {
        let connection = carry(client, target, weather.clone());
        let now = shutdown.now.clone();
        shutdown.spawn(async move { now.run_until_cancelled(connection).await });
    }
}

async fn carry(client: TcpStream, target: u16, weather: watch::Receiver<Weather>) {
    let cut = until_cut(weather.clone());
    let flow = async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, target));
        let Ok(server) = TcpStream::connect(address).await else { return };
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::join!(
            pump(from_client, to_server, weather.clone()),
            pump(from_server, to_client, weather.clone())
        );
    };
    tokio::select! {
        () = cut => {}
        () = flow => {}
    }
}

async fn until_cut(mut weather: watch::Receiver<Weather>) {
    // The sender lives as long as the proxy; without it the connection ends as well.
    drop(weather.wait_for(|now| *now == Weather::Cut).await);
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let Ok(now) = weather.wait_for(|now| *now != Weather::BlackHole).await.map(|now| *now)
        else {
            break;
        };
        if let Weather::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    // The other side may have closed first.
    drop(to.shutdown().await);
}
