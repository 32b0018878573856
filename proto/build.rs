//! Compiles our `.proto` files with `protox`, so that building needs no `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=protobuf");
    let files = [
        "tfplugin6.proto",
        "plugin.proto",
        "health.proto",
        "talos/machine.proto",
        "talos/lifecycle.proto",
        "talos/storage.proto",
        "talos/cosi.proto",
        "talos/definitions.proto",
        "teleport.proto",
    ];
    let descriptors = protox::compile(files, ["protobuf"])?;
    // Message clients are generated too: the framework's tests drive the server with them.
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
