//! Codes that people read, type and say: 80 random bits in Crockford's base 32, which has no I, L, O and U.

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The random bytes of a code.
pub const CODE_BYTES: usize = 10;

/// The characters of a code.
pub const CODE_CHARS: usize = 16;

/// Writes random bytes as a code.
pub fn encode(random: [u8; CODE_BYTES]) -> String {
    let mut bits = 0_u128;
    for byte in random {
        bits = (bits << 8) | u128::from(byte);
    }
    (0..CODE_CHARS)
        .rev()
        .map(|i| {
            let digit = usize::try_from((bits >> (5 * i)) & 31).expect("five bits fit");
            char::from(ALPHABET[digit])
        })
        .collect()
}

/// Reads what a person typed: case, blanks and hyphens do not matter, and look-alikes count as the digits they resemble.
pub fn normalize(typed: &str) -> String {
    typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_shows_all_bits() {
        assert_eq!(encode([0; CODE_BYTES]), "0000000000000000");
        assert_eq!(encode([0xff; CODE_BYTES]), "ZZZZZZZZZZZZZZZZ");
        let mut one = [0; CODE_BYTES];
        one[9] = 1;
        assert_eq!(encode(one), "0000000000000001");
    }

    #[test]
    fn what_a_person_types_is_read_kindly() {
        assert_eq!(normalize("o1il-abcd efgh"), "0111ABCDEFGH");
    }
}
