//! Generates the Rust types from `protos/` with a compiler written in Rust: no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=protos");
    let root = std::path::Path::new("protos");
    let files = [
        "mesos/v1/mesos.proto",
        "mesos/v1/scheduler/scheduler.proto",
        "mesos/v1/executor/executor.proto",
        "mesos/v1/master/master.proto",
        "mesos/v1/agent/agent.proto",
        "mesos/v1/quota/quota.proto",
        "mesos/v1/maintenance/maintenance.proto",
        "mesos/v1/allocator/allocator.proto",
        "mesos/v1/resource_provider/resource_provider.proto",
        "mesos/internal/messages.proto",
    ];
    let descriptors = protox::compile(files.iter().map(|file| root.join(file)), [root])?;
    prost_build::Config::new()
        .bytes(["."])
        .btree_map(["."])
        .include_file("mesos.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
