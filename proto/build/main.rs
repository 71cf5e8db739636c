//! Generates the Rust types from `protos/` with a compiler written in Rust (no `protoc` is needed), and beside them,
//! from the same descriptors, the tables of required fields and the JSON mapping.
//!
//! * `mesos.rs`: the types, written by prost.
//! * `mapping.rs`: [`tables`] and [`mapping`] of this folder.

mod mapping;
mod model;
mod names;
mod tables;

use std::path::Path;

const FILES: [&str; 11] = [
    "mesos/v1/mesos.proto",
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/executor/executor.proto",
    "mesos/v1/master/master.proto",
    "mesos/v1/agent/agent.proto",
    "mesos/v1/quota/quota.proto",
    "mesos/v1/maintenance/maintenance.proto",
    "mesos/v1/allocator/allocator.proto",
    "mesos/v1/resource_provider/resource_provider.proto",
    "mesos/scheduler/scheduler.proto",
    "mesos/internal/messages.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=protos");
    println!("cargo:rerun-if-changed=build");
    let root = Path::new("protos");
    let descriptors = protox::compile(FILES.iter().map(|file| root.join(file)), [root])?;

    let model = model::Model::new(&descriptors)?;
    let mut code = String::new();
    tables::generate(&model, &mut code);
    mapping::generate(&model, &mut code)?;
    let out_dir = std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for build scripts")?;
    std::fs::write(Path::new(&out_dir).join("mapping.rs"), code)?;

    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .enable_type_names()
        .include_file("mesos.rs")
        .compile_fds(model::without_deprecation(descriptors))?;
    Ok(())
}
