//! The public bundle of a draw, as a stream: rows are read page by page, so that neither memory nor a connection is held
//! for its whole length.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use draw::{BundleWriter, PublicKey, SignedCommitment};
use tokio::sync::mpsc;

use super::{
    App,
    batches::{get, state_wrong},
    draws::DrawInput,
};
use crate::{error::Error, storage};

/// The size of a piece; a message may hold 4 MiB.
const PIECE_BYTES: usize = 256 * 1024;

/// Where the pieces go. The receiver is gone when the caller has left.
pub type Pieces = mpsc::Sender<Result<Vec<u8>, Error>>;

/// Takes what the writer has written, in pieces.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The caller has left.
struct Gone;

impl App {
    /// Loads what a bundle begins with, or says that the batch is not drawn.
    pub async fn open_draw_bundle(&self, batch_id: &str) -> Result<Bundle, Error> {
        let mut connection = self.db.acquire().await?;
        let batch = get(&mut connection, batch_id).await?;
        drop(connection);
        if batch.draw_time.is_none() {
            return Err(state_wrong(&batch));
        }
        let input = self.draw_input(batch_id).await?;
        Ok(Bundle {
            app: self.clone(),
            input,
        })
    }
}

/// A bundle that is ready to be written.
pub struct Bundle {
    app: App,
    input: DrawInput,
}

impl Bundle {
    /// Writes the bundle in pieces; what fails on the way is the last thing that is sent.
    pub async fn send(self, pieces: Pieces) {
        match self.write(&pieces).await {
            Ok(Ok(()) | Err(Gone)) => {}
            // The caller may be gone by now; then nobody misses the error.
            Err(error) => drop(pieces.send(Err(error)).await),
        }
    }

    async fn write(&self, pieces: &Pieces) -> Result<Result<(), Gone>, Error> {
        let DrawInput {
            batch,
            freeze,
            commitment,
            reveal,
        } = &self.input;
        let fixed = |bytes: &[u8]| {
            <[u8; 32]>::try_from(bytes).map_err(|_| Error::Broken("a key has a wrong length"))
        };
        let signature = <[u8; 64]>::try_from(freeze.signature.as_slice())
            .map_err(|_| Error::Broken("a signature has a wrong length"))?;
        let signed = SignedCommitment {
            commitment: commitment.clone(),
            public_key: PublicKey::from_bytes(fixed(&freeze.public_key)?),
            signature,
        };
        let sink = Sink::default();
        let mut bundle = BundleWriter::new(sink.clone(), signed)?;

        let mut after = Vec::new();
        loop {
            let mut connection = self.app.db.acquire().await?;
            let runs = storage::draws::list_records(&mut connection, &batch.id, &after).await?;
            drop(connection);
            let Some((last, _)) = runs.last() else { break };
            after.clone_from(last);
            for (_, records) in &runs {
                for entrant in storage::draws::entrants(records)? {
                    bundle.entrant(&entrant)?;
                }
            }
            if send_full(&sink, pieces, PIECE_BYTES).await.is_err() {
                return Ok(Err(Gone));
            }
        }

        bundle.reveal(reveal)?;
        after.clear();
        loop {
            let mut connection = self.app.db.acquire().await?;
            let runs = storage::draws::list_results(&mut connection, &batch.id, &after).await?;
            drop(connection);
            let Some((last, _)) = runs.last() else { break };
            after.clone_from(last);
            for (_, records) in &runs {
                for outcome in storage::draws::outcomes(records)? {
                    bundle.outcome(&outcome)?;
                }
            }
            if send_full(&sink, pieces, PIECE_BYTES).await.is_err() {
                return Ok(Err(Gone));
            }
        }
        bundle.finish()?;
        Ok(send_full(&sink, pieces, 1).await)
    }
}

/// Sends what is in the sink as soon as it holds `least` bytes.
async fn send_full(sink: &Sink, pieces: &Pieces, least: usize) -> Result<(), Gone> {
    let written = {
        let mut buffer = sink.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() < least {
            Vec::new()
        } else {
            mem::take(&mut *buffer)
        }
    };
    for piece in written.chunks(PIECE_BYTES) {
        pieces.send(Ok(piece.to_vec())).await.map_err(|_| Gone)?;
    }
    Ok(())
}
