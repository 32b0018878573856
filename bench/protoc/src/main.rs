//! Just enough of `protoc` to build `tf-provider`, whose build script starts one: named in `PROTOC`, built before it.
//!
//! It takes what prost-build passes: `--include_imports --include_source_info -o FILE -I FOLDER.. [--other..] PROTO..`. Both
//! `--include` options are always on, other options are about features that protox always has.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use protox::Compiler;
use protox::prost::Message as _;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut output, mut folders, mut files) = (None, Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-o" => output = arguments.next().map(PathBuf::from),
            "-I" => folders.extend(arguments.next().map(PathBuf::from)),
            "--version" => {
                println!("libprotoc 31.0 (protox)");
                return Ok(());
            }
            option if option.starts_with("--") => {}
            option if option.starts_with('-') => bail!("this protoc knows no option {option}"),
            file => files.push(PathBuf::from(file)),
        }
    }
    let output = output.context("-o FILE is missing")?;
    let mut compiler = Compiler::new(&folders).context("opening the include folders")?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(&files).context("compiling")?;
    let set = compiler.file_descriptor_set().encode_to_vec();
    std::fs::write(&output, set).with_context(|| format!("writing {}", output.display()))
}
