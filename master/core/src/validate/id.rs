//! The syntax of ids that frameworks choose (they become names of directories on agents).

/// The longest id in bytes, the longest file name on Linux.
pub(super) const ID_BYTES_MAX: usize = 255;

/// Checks the text of an id.
///
/// # Errors
/// The text Mesos answers.
pub fn id_text(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err("ID must not be empty".into());
    }
    if id.len() > ID_BYTES_MAX {
        return Err(format!("ID must not be greater than {ID_BYTES_MAX} characters"));
    }
    if id == "." || id == ".." {
        return Err(format!("'{id}' is disallowed"));
    }
    if id
        .bytes()
        .any(|byte| byte < 0x20 || matches!(byte, 0x7f | b'/' | b'\\'))
    {
        return Err(format!("'{id}' contains invalid characters"));
    }
    Ok(())
}
