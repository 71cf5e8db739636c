//! How prost names things in Rust. The generated mapping refers to fields and types by these names, so a disagreement
//! is a compile error, never a wrong mapping.

use heck::{ToSnakeCase, ToUpperCamelCase};

/// A module or field: `TTYInfo` -> `tty_info`, `type` -> `r#type`.
pub(crate) fn snake(name: &str) -> String {
    escape(name.to_snake_case())
}

/// A type or variant: `FrameworkID` -> `FrameworkId`.
pub(crate) fn camel(name: &str) -> String {
    escape(name.to_upper_camel_case())
}

fn escape(ident: String) -> String {
    match ident.as_str() {
        "as" | "break" | "const" | "continue" | "else" | "enum" | "false" | "fn" | "for" | "if" | "impl" | "in"
        | "let" | "loop" | "match" | "mod" | "move" | "mut" | "pub" | "ref" | "return" | "static" | "struct"
        | "trait" | "true" | "type" | "unsafe" | "use" | "where" | "while" | "dyn" | "abstract" | "become" | "box"
        | "do" | "final" | "macro" | "override" | "priv" | "typeof" | "unsized" | "virtual" | "yield" | "async"
        | "await" | "try" | "gen" => format!("r#{ident}"),
        "super" | "self" | "Self" | "extern" | "crate" => format!("{ident}_"),
        _ => ident,
    }
}
