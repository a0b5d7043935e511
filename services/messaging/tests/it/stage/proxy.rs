//! A way to a server that can be cut.

/// A way to a server that can be cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    open: tokio::sync::watch::Sender<bool>,
}

impl Proxy {
    pub(crate) async fn to(target: String, open: bool) -> Proxy {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = tokio::sync::watch::Sender::new(open);
        let state = open.clone();
        chassis::task::spawn("proxy", async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut state = state.subscribe();
                let target = target.clone();
                chassis::task::spawn("proxied", async move {
                    if !*state.borrow() {
                        return;
                    }
                    let Ok(mut far) = tokio::net::TcpStream::connect(target).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Proxy { port, open }
    }

    /// Cuts what is there and refuses what comes.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn restore(&self) {
        self.open.send_replace(true);
    }
}
