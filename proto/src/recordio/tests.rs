use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1000;

fn drain(decoder: &mut Decoder) -> Result<Vec<Bytes>, RecordError> {
    let mut records = Vec::new();
    while let Some(record) = decoder.next()? {
        records.push(record);
    }
    Ok(records)
}

fn refusal(stream: &[u8]) -> RecordError {
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(stream);
    let error = drain(&mut decoder).unwrap_err();
    assert_eq!(decoder.next(), Err(error.clone()), "the error stays");
    error
}

#[test]
fn a_record_has_its_length_in_front() {
    assert_eq!(
        encode(b"{\"type\":\"HEARTBEAT\"}").as_ref(),
        b"20\n{\"type\":\"HEARTBEAT\"}"
    );
    assert_eq!(encode(b"").as_ref(), b"0\n");
}

#[test]
fn what_is_no_length_is_refused() {
    assert_eq!(refusal(b"x"), RecordError::NotADigit { byte: b'x' });
    assert_eq!(refusal(b"1 \n"), RecordError::NotADigit { byte: b' ' });
    assert_eq!(refusal(b"\n"), RecordError::NoLength);
    assert_eq!(refusal(&[b'0'; 21]), RecordError::TooManyDigits { limit: 20 });
}

#[test]
fn a_record_over_the_limit_is_refused_before_it_arrives() {
    assert_eq!(
        refusal(b"1001\n"),
        RecordError::TooLong {
            length: 1001,
            limit: 1000
        }
    );
    assert_eq!(
        refusal(b"99999999999999999999\n"),
        RecordError::TooLong {
            length: u64::MAX,
            limit: 1000
        }
    );
    assert_eq!(
        refusal(b"1001\n").to_string(),
        "record of 1001 bytes is longer than the limit of 1000 bytes"
    );
}

#[test]
fn an_announced_length_reserves_nothing() {
    let mut decoder = Decoder::new(usize::MAX);
    decoder.push(b"9000000000000000000\nabc");
    assert_eq!(decoder.next(), Ok(None));
    assert!(decoder.buffered.capacity() < 1024);
}

#[test]
fn the_end_of_a_stream_inside_a_record_is_noticed() {
    let mut decoder = Decoder::new(LIMIT);
    assert!(decoder.is_between_records());
    decoder.push(b"2\na");
    assert_eq!(decoder.next(), Ok(None));
    assert!(!decoder.is_between_records());
    decoder.push(b"b");
    assert_eq!(decoder.next(), Ok(Some(Bytes::from_static(b"ab"))));
    assert!(decoder.is_between_records());
}

proptest! {
    #[test]
    fn any_split_gives_the_same_records(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
        cuts in prop::collection::vec(1_usize..50, 1..200),
    ) {
        let stream: Vec<u8> = records.iter().flat_map(|record| encode(record)).collect();
        let mut decoder = Decoder::new(LIMIT);
        let mut found = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            decoder.push(piece);
            found.extend(drain(&mut decoder).unwrap());
            rest = after;
        }
        prop_assert_eq!(found, records);
        prop_assert!(decoder.is_between_records());
    }

    #[test]
    fn random_bytes_never_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..20)) {
        let mut decoder = Decoder::new(LIMIT);
        for piece in pieces {
            decoder.push(&piece);
            drop(drain(&mut decoder));
        }
    }

    #[test]
    fn random_digits_and_newlines_never_panic(stream in "[0-9\n]{0,200}") {
        let mut decoder = Decoder::new(LIMIT);
        decoder.push(stream.as_bytes());
        drop(drain(&mut decoder));
    }
}
