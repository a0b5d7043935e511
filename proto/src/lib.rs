//! The generated contract: one module per protobuf package, and the descriptor set that describes them.
//!
//! Nothing is written by hand here; what a type means stands in the `.proto` files.

#[expect(
    missing_docs,
    clippy::all,
    clippy::doc_markdown,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    unused_qualifications,
    reason = "generated code follows its generator's style"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/_includes.rs"));
}
pub use generated::bekal::*;

/// The encoded `FileDescriptorSet` of the whole contract, for reflection and for reading method options.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/descriptor_set.bin"));
