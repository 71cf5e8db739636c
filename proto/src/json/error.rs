//! Why a JSON body was refused. The texts are those of an unmodified Mesos, word for word; tools match on them.

/// A body that could not be decoded into a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body is no JSON.
    #[error("Failed to parse body into JSON: {0}")]
    Syntax(SyntaxError),
    /// The JSON does not describe the message.
    #[error("Failed to convert JSON into {message} protobuf: {reason}")]
    Convert {
        /// The message's name as the caller calls it (`Call`).
        message: String,
        /// What does not fit.
        reason: ConvertError,
    },
}

/// A text that is no JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// The parser stopped in the middle.
    #[error("syntax error at line {line} near: {rest}")]
    Unexpected {
        /// Counted from 1.
        line: usize,
        /// The rest of that line without control characters, cut to [`super::parse::MAX_ECHO`] bytes.
        rest: String,
    },
    /// A complete value is followed by something else.
    #[error("Parsed JSON included non-whitespace trailing characters: {0}")]
    Trailing(String),
    /// A number does not fit into a double.
    #[error("Value out of range")]
    OutOfRange,
    /// Another kind of JSON value was asked for.
    #[error("Unexpected JSON type parsed")]
    UnexpectedType,
}

/// A JSON value that is not the message it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The whole is no object.
    #[error("Expecting a JSON object")]
    NoObject,
    /// A field has a JSON type that it cannot be read from.
    #[error("Not expecting a JSON {found} for field '{field}'")]
    WrongType {
        /// `number`, `string`, `boolean`, `array`, `object` or `null`.
        found: &'static str,
        /// The field, without its path.
        field: String,
    },
    /// A required field names an enum value that does not exist.
    #[error("Failed to find enum for '{0}'")]
    UnknownEnum(String),
    /// A bytes field is not base64.
    #[error("Failed to base64 decode bytes field '{field}': Invalid character '{character}'")]
    Base64 {
        /// The field, without its path.
        field: String,
        /// The first character outside the alphabet.
        character: char,
    },
    /// A string stands for a number or boolean and is none.
    #[error("Failed to parse '{text}' as a JSON {expected} for field '{field}': {reason}")]
    Text {
        /// The string.
        text: String,
        /// `number` or `boolean`.
        expected: &'static str,
        /// The field, without its path.
        field: String,
        /// Why it is none.
        reason: SyntaxError,
    },
    /// Messages inside messages inside messages; the text is ours.
    #[error("Messages are nested deeper than the limit of {limit} at field '{field}'")]
    TooDeep {
        /// Levels accepted.
        limit: usize,
        /// The field, without its path.
        field: String,
    },
    /// Fields without which the message means nothing, with their paths (`tasks[0].task_id`).
    #[error("Missing required fields: {}", .0.join(", "))]
    MissingRequired(Vec<String>),
}
