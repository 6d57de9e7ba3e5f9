//! Libraries of functions: what FUNCTION DUMP answers and FUNCTION RESTORE takes.

use super::budget::Budget;
use super::read::opened;
use super::reader::Reader;
use super::write::write_string;
use super::{RdbError, sealed};

/// What stands in front of the code of a library.
const LIBRARY: u8 = 245;

/// The payload of libraries, by their codes.
pub fn dump_libraries<'l>(codes: impl IntoIterator<Item = &'l [u8]>) -> Vec<u8> {
    let mut body = Vec::new();
    for code in codes {
        body.push(LIBRARY);
        write_string(code, &mut body);
    }
    sealed(&body)
}

/// The codes of the libraries in a payload, of which at most `bytes_max` bytes may be made.
///
/// # Errors
/// It is no such payload, or it holds more.
pub fn restore_libraries(payload: &[u8], bytes_max: usize) -> Result<Vec<Vec<u8>>, RdbError> {
    let mut reader = Reader::new(opened(payload)?, Budget::new(bytes_max));
    let mut codes = Vec::new();
    while !reader.is_empty() {
        if reader.array()? != [LIBRARY] {
            return Err(RdbError::NoLibrary);
        }
        codes.push(reader.string()?.into_owned());
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_are_dumped_are_restored() {
        let codes: [&[u8]; 3] = [b"", b"#!lua name=a\nreturn", &[7; 20_000]];
        let payload = dump_libraries(codes);
        assert_eq!(restore_libraries(&payload, 1 << 20), Ok(codes.map(<[u8]>::to_vec).to_vec()));
        assert_eq!(restore_libraries(&payload, 100), Err(RdbError::TooLarge { max: 100 }));
        assert_eq!(restore_libraries(&payload[1..], 1 << 20), Err(RdbError::Checksum));
        let value = super::super::dump(&cahoots_gossip::store::Value::Text(b"v".as_slice().into()));
        assert_eq!(restore_libraries(&value, 1 << 20), Err(RdbError::NoLibrary));
    }
}
