//! The CRC-64 that Redis uses: Jones's polynomial, bits reflected, beginning with zero.

const POLYNOMIAL: u64 = 0x95AC_9329_AC4B_C9B5;

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut sum, mut bit) = (byte as u64, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

pub(super) fn crc64(bytes: &[u8]) -> u64 {
    extended(0, bytes)
}

/// The sum of what `sum` is of, and of these bytes behind it.
pub(super) fn extended(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum >> 8) ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)])
}

#[test]
fn the_sum_of_the_usual_nine_digits_is_the_usual_one() {
    assert_eq!(crc64(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
}
