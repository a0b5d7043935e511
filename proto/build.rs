//! Compiles every `.proto` below `bekal/` without protoc and keeps the descriptor set for reflection and method options.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use prost::Message;
use tonic_prost_build::{Config, FileDescriptorSet};

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script by the environment"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    find_protos(Path::new("bekal"), &mut files)?;
    files.sort();

    // The encoded set keeps the method options, which prost's own descriptor types would drop.
    let encoded = protox::Compiler::new(["."])?
        .include_source_info(true)
        .include_imports(true)
        .open_files(files)?
        .encode_file_descriptor_set();
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("descriptor_set.bin"), &encoded)?;

    let mut config = Config::new();
    // Ordered maps: the same message always has the same bytes, which request fingerprints rest on.
    config
        .btree_map(["."])
        .enable_type_names()
        .include_file("_includes.rs");
    tonic_prost_build::configure()
        .compile_fds_with_config(FileDescriptorSet::decode(encoded.as_slice())?, config)?;

    println!("cargo::rerun-if-changed=bekal");
    Ok(())
}

fn find_protos(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_protos(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(())
}
