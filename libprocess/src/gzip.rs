//! Compression of answers and inflation of request bodies.
//!
//! Must never let a small body inflate beyond a given bound, nor block the asynchronous threads for long.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use seams::Blocking;

use crate::headers::is_zero_quality;

/// Shortest body that is compressed, in bytes, as in libprocess.
pub(crate) const COMPRESS_BYTES_MIN: usize = 1024;

/// Bodies from this length in bytes on count as blocking work: they cost more than about a millisecond.
const OFFLOAD_BYTES_MIN: usize = 256 * 1024;

/// Why a body could not be inflated.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InflateError {
    /// Not gzip, or cut.
    NotGzip,
    /// Longer than allowed.
    TooLarge,
}

/// The inflated body, at most `bytes_max` long.
pub(crate) async fn inflate(blocking: Blocking, body: Bytes, bytes_max: usize) -> Result<Bytes, InflateError> {
    if body.len() < OFFLOAD_BYTES_MIN {
        return inflate_now(&body, bytes_max);
    }
    let inflated = blocking.run(move || inflate_now(&body, bytes_max)).await;
    inflated.unwrap_or(Err(InflateError::NotGzip))
}

fn inflate_now(body: &[u8], bytes_max: usize) -> Result<Bytes, InflateError> {
    let mut inflated = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    GzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut inflated)
        .map_err(|_| InflateError::NotGzip)?;
    if inflated.len() > bytes_max {
        Err(InflateError::TooLarge)
    } else {
        Ok(inflated.into())
    }
}

/// The compressed body; `None` if that failed, which leaves the body as it is.
pub(crate) async fn compress(blocking: Blocking, body: Bytes) -> Option<Bytes> {
    if body.len() < OFFLOAD_BYTES_MIN {
        return compress_now(&body);
    }
    let compressed = blocking.run(move || compress_now(&body)).await;
    compressed.ok().flatten()
}

fn compress_now(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether an `Accept-Encoding` value allows gzip.
pub(crate) fn is_accepted(accept_encoding: Option<&str>) -> bool {
    let quality_of = |wanted: &str| {
        accept_encoding?.split(',').find_map(|entry| {
            let (coding, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            coding
                .trim()
                .eq_ignore_ascii_case(wanted)
                .then(|| !is_zero_quality(parameters))
        })
    };
    quality_of("gzip").or_else(|| quality_of("*")).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_survives_compression() {
        let body: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        let compressed = compress_now(&body).unwrap();
        assert_eq!(inflate_now(&compressed, body.len()).unwrap(), body);
        assert_eq!(inflate_now(&compressed, body.len() - 1), Err(InflateError::TooLarge));
        assert_eq!(
            inflate_now(&compressed[..compressed.len() - 1], body.len()),
            Err(InflateError::NotGzip)
        );
    }

    #[test]
    fn what_is_not_gzip_is_refused() {
        assert_eq!(inflate_now(b"{}", 100), Err(InflateError::NotGzip));
        assert_eq!(inflate_now(b"", 100), Err(InflateError::NotGzip));
    }

    #[test]
    fn gzip_is_accepted_only_if_named() {
        for value in ["gzip", "deflate, gzip", "GZIP;q=0.5", "*", "*;q=0, gzip"] {
            assert!(is_accepted(Some(value)), "{value}");
        }
        for value in ["", "deflate", "gzip;q=0", "gzip; q=0.0, *", "*;q=0"] {
            assert!(!is_accepted(Some(value)), "{value}");
        }
        assert!(!is_accepted(None));
    }
}
