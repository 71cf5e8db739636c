//! Facts of the machine that stand above every table, because figures mean nothing without them.

use std::process::Command;

/// Prints date, processor, kernel, memory, file system of the temporary folder and the load at this moment.
pub fn print_facts() {
    println!("{}", facts());
}

/// The facts, one per line.
fn facts() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "date {} · {} · {processors} processors · Linux {} · {} memory · {} · load average {}",
        output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        processor_model(),
        read("/proc/sys/kernel/osrelease"),
        memory(),
        file_system(),
        load_average(),
    )
}

/// The load averages of the last 1, 5 and 15 minutes.
pub fn load_average() -> String {
    let text = read("/proc/loadavg");
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Resident memory of this process in bytes; 0 where the kernel does not say.
pub fn resident_bytes() -> u64 {
    resident_bytes_of("self")
}

/// Resident memory in bytes of a process, named by its number or `self`.
pub fn resident_bytes_of(process: &str) -> u64 {
    memory_of(process, "VmRSS:")
}

/// The most that was resident at any time.
pub fn peak_bytes_of(process: &str) -> u64 {
    memory_of(process, "VmHWM:")
}

fn memory_of(process: &str, what: &str) -> u64 {
    let status = read(&format!("/proc/{process}/status"));
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn processor_model() -> String {
    let information = read("/proc/cpuinfo");
    let line = information.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split(':').nth(1))
        .map_or_else(|| "unknown processor".to_owned(), |model| model.trim().to_owned())
}

fn memory() -> String {
    let information = read("/proc/meminfo");
    let line = information.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    format!("{:.1} GiB", kibibytes.unwrap_or(0.0) / 1024.0 / 1024.0)
}

fn file_system() -> String {
    let folder = std::env::temp_dir();
    let kind = output("stat", &["-f", "-c", "%T", &folder.to_string_lossy()]);
    format!("{kind} below the temporary folder")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
