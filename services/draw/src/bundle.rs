//! The public bundle as a stream: header, entrants, reveal, result. Its front part can be published at the
//! freeze; the rest is appended after the draw. README §3 has the layout.

mod reader;
mod writer;

pub(crate) use self::reader::Records;
pub use self::{reader::BundleReader, writer::BundleWriter};

pub(crate) const MAGIC: &[u8; 16] = b"bekal/bundle/1\r\n";
