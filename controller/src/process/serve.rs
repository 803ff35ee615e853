//! Serves the controller's port.

use std::{
    fmt::Debug,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, serve::Listener};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;

/// How long a write may stall before the connection is closed.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves `router` until `shutdown`, then finishes the requests in progress.
///
/// # Errors
/// If the listener fails.
pub async fn serve<L>(listener: L, router: Router, shutdown: CancellationToken) -> io::Result<()>
where
    L: Listener,
    L::Addr: Debug,
{
    axum::serve(Limited(listener), router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

/// A listener that closes connections whose client stops reading. Otherwise a stream to such a client would keep its
/// place until TCP times out, which may be never.
struct Limited<L>(L);

impl<L: Listener> Listener for Limited<L> {
    type Io = Connection<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (io, address) = self.0.accept().await;
        (Connection { io, stalled: None }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

struct Connection<S> {
    io: S,
    /// Fires when the pending write has stalled for [`WRITE_TIMEOUT`].
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Connection<S> {
    fn watch<T>(
        &mut self,
        write: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch(write, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.io).poll_write_vectored(cx, buffers);
        self.watch(write, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(flush, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_client_that_stops_reading_is_disconnected() {
        let (server, mut client) = tokio::io::duplex(8);
        let mut connection = Connection {
            io: server,
            stalled: None,
        };
        let writer = tokio::spawn(async move { connection.write_all(&[1; 64]).await });
        let mut some = [0; 8];
        for _ in 0..4 {
            sleep(WRITE_TIMEOUT * 3 / 4).await;
            client.read_exact(&mut some).await.unwrap();
        }
        sleep(WRITE_TIMEOUT * 2).await;
        let error = writer.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
