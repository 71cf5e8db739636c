//! Properties of the request decoder.

use bytes::{BufMut, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const HEADER_BYTES_MAX: usize = 4096;
const BODY_BYTES_MAX: usize = 2048;

/// What a connection would see: requests as text, and how decoding ended.
#[derive(Debug, PartialEq)]
struct Seen {
    requests: Vec<String>,
    error: Option<Malformed>,
}

/// Feeds `pieces` one after another, as reads would.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let mut decoder = RequestDecoder::new(HEADER_BYTES_MAX, BODY_BYTES_MAX);
    let mut buffer = BytesMut::new();
    let mut requests = Vec::new();
    for piece in pieces {
        buffer.put_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(ReceivedRequest { head, body })) => {
                    let is_last = matches!(body, ReceivedBody::TooLarge { .. });
                    let headers = &head.headers;
                    requests.push(format!(
                        "{} {} {:?} {headers:?} {body:?}",
                        head.method, head.path, head.query
                    ));
                    if is_last {
                        return Seen { requests, error: None };
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    return Seen {
                        requests,
                        error: Some(error),
                    };
                }
            }
        }
    }
    Seen { requests, error: None }
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    places.push(bytes.len());
    let mut from = 0;
    places
        .into_iter()
        .map(|to| {
            let piece = &bytes[from..to];
            from = to;
            piece
        })
        .collect()
}

/// One well-formed request: with or without a body, sized or in chunks, with or without a trailer.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let body = vec(any::<u8>(), 0..300);
    let line_end = prop_oneof![Just("\r\n"), Just("\n")];
    (
        "[a-z/%=?]{0,20}",
        vec(("[A-Za-z-]{1,10}", "[ -~]{0,20}"), 0..4),
        body,
        0..4_u8,
        1..100_usize,
        line_end,
    )
        .prop_map(|(target, fields, body, kind, chunk_length, line_end)| {
            let mut bytes = format!("POST /{target} HTTP/1.1{line_end}").into_bytes();
            for (name, value) in fields {
                bytes.extend(format!("X-{name}: {value}{line_end}").into_bytes());
            }
            if kind == 0 {
                bytes.extend(line_end.as_bytes());
                return bytes;
            }
            if kind == 1 {
                bytes.extend(format!("Content-Length: {}{line_end}{line_end}", body.len()).into_bytes());
                bytes.extend(body);
                return bytes;
            }
            bytes.extend(format!("Transfer-Encoding: chunked{line_end}{line_end}").into_bytes());
            let mut out = BytesMut::new();
            for chunk in body.chunks(chunk_length) {
                write_chunk(chunk, &mut out);
            }
            bytes.extend(&out);
            bytes.extend(if kind == 2 {
                b"0\r\n\r\n".as_slice()
            } else {
                b"0\r\nX: trailer\r\n\r\n"
            });
            bytes
        })
}

proptest! {
    #[test]
    fn any_split_yields_the_same_requests(
        requests in vec(request(), 1..5),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = requests.concat();
        let whole = decode([bytes.as_slice()]);
        prop_assert_eq!(&decode(cut(&bytes, &cuts)), &whole);
        prop_assert_eq!(&decode(bytes.chunks(1)), &whole);
    }

    #[test]
    fn damaged_requests_yield_the_same_requests_however_split(
        requests in vec(request(), 1..4),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut bytes = requests.concat();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let whole = decode([bytes.as_slice()]);
        for pieces in [cut(&bytes, &cuts), bytes.chunks(1).collect()] {
            let split = decode(pieces);
            prop_assert_eq!(&split.requests, &whole.requests);
            // An incomplete head may be found out earlier or later, but never wrongly.
            prop_assert!(split.error.is_none() || whole.error.is_some(), "{:?} {:?}", split.error, whole.error);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..2000)) {
        decode(bytes.chunks(7));
    }

    #[test]
    fn random_bytes_behind_a_good_beginning_never_panic(
        beginning in prop_oneof![
            Just("POST / HTTP/1.1\r\n"),
            Just("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Just("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx"),
            Just("GET /"),
        ],
        bytes in vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b' ')], 0..300),
    ) {
        decode([beginning.as_bytes(), &bytes]);
        decode([beginning.as_bytes()].into_iter().chain(bytes.chunks(3)));
    }

    #[test]
    fn no_more_is_held_than_was_received(requests in vec(request(), 1..4), lengths in vec(1..200_usize, 1..50)) {
        let bytes = requests.concat();
        let mut decoder = RequestDecoder::new(HEADER_BYTES_MAX, BODY_BYTES_MAX);
        let (mut buffer, mut rest, mut received) = (BytesMut::new(), bytes.as_slice(), 0);
        for length in lengths {
            let (piece, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            received += piece.len();
            buffer.put_slice(piece);
            while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
            // What is announced never makes the buffer grow: only what a read adds does.
            prop_assert!(buffer.len() <= received);
            prop_assert!(decoder.awaited(buffer.len()) <= BODY_BYTES_MAX);
        }
    }

    #[test]
    fn chunks_come_out_as_they_went_in(chunks in vec(vec(any::<u8>(), 1..200), 0..10)) {
        let mut out = BytesMut::new();
        for chunk in &chunks {
            write_chunk(chunk, &mut out);
        }
        out.put_slice(b"0\r\n\r\n");
        let mut decoder = ChunkedDecoder::default();
        let mut found = Vec::new();
        while let Some(piece) = decoder.decode(&mut out).unwrap() {
            match piece {
                Piece::Data(data) => found.push(data.to_vec()),
                Piece::Announced(_) => {}
                Piece::End { has_trailer } => {
                    prop_assert!(!has_trailer);
                    break;
                }
            }
        }
        prop_assert_eq!(found, chunks);
    }
}

#[test]
fn a_head_that_arrives_byte_by_byte_is_bounded() {
    let bytes = format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(2 * HEADER_BYTES_MAX));
    let seen = decode(bytes.as_bytes().chunks(1));
    assert_eq!(
        seen.error,
        Some(Malformed::HeadTooLong {
            bytes: HEADER_BYTES_MAX + 1,
            limit: HEADER_BYTES_MAX
        })
    );
}

#[test]
fn endless_chunk_lines_and_trailers_are_bounded() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for endless in [
        format!("1;{}", "x".repeat(100_000)),
        format!("0\r\n{}", "X: y\r\n".repeat(100_000)),
    ] {
        let bytes = format!("{head}{endless}");
        assert_eq!(decode(bytes.as_bytes().chunks(1000)).error, Some(Malformed::Chunk));
    }
}

#[test]
fn a_single_chunk_is_not_copied() {
    let mut buffer = BytesMut::from(&b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"[..]);
    let data = buffer.as_ptr().addr() + buffer.len() - 9;
    let request = RequestDecoder::new(HEADER_BYTES_MAX, BODY_BYTES_MAX)
        .decode(&mut buffer)
        .unwrap()
        .unwrap();
    let ReceivedBody::Complete(body) = request.body else {
        panic!("{:?}", request.body)
    };
    assert_eq!((&body[..], body.as_ptr().addr()), (&b"hi"[..], data));
}
