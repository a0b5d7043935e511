//! Big-endian fields and length-prefixed texts: the alphabet of every canonical encoding here.
//! A decoder accepts exactly the bytes that the encoder writes, so that a signed byte string has one reading.

use crate::Invalid;

/// Longest text in bytes; its length fits the one-byte prefix.
pub const TEXT_BYTES_MAX: usize = 200;

pub(crate) fn check_text(field: &'static str, text: &str) -> Result<(), Invalid> {
    let sized = (1..=TEXT_BYTES_MAX).contains(&text.len());
    // Control characters would let a name forge lines of the printed verdict.
    let printable = text.bytes().all(|byte| byte >= 0x20 && byte != 0x7f);
    if sized && printable {
        Ok(())
    } else {
        Err(Invalid::Malformed {
            field,
            problem: "is not 1 to 200 bytes of printable text",
        })
    }
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("checked texts have at most 200 bytes"));
    out.extend_from_slice(text.as_bytes());
}

/// Writes 0, or 1 and the bytes.
pub(crate) fn put_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(bytes.is_some().into());
    out.extend_from_slice(bytes.unwrap_or_default());
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)])
        .collect()
}

/// Takes fields off the front of a byte string.
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
    field: &'static str,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(field: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, field }
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Invalid> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(self.malformed("ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Invalid> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(self.malformed("ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Invalid> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Invalid> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Invalid> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Invalid> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn text(&mut self) -> Result<String, Invalid> {
        let length = usize::from(self.u8()?);
        let text =
            std::str::from_utf8(self.bytes(length)?).map_err(|_| self.malformed("is not UTF-8"))?;
        check_text(self.field, text)?;
        Ok(text.to_owned())
    }

    /// Takes 0, or 1 and what `read` takes.
    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(self.malformed("has a mark other than 0 and 1")),
        }
    }

    /// Takes `domain`, which names the kind and version of the encoding.
    pub(crate) fn domain(&mut self, domain: &[u8]) -> Result<(), Invalid> {
        if self.bytes(domain.len())? == domain {
            Ok(())
        } else {
            Err(self.malformed("has another kind or version"))
        }
    }

    pub(crate) fn end(self) -> Result<(), Invalid> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("has trailing bytes"))
        }
    }

    pub(crate) fn malformed(&self, problem: &'static str) -> Invalid {
        Invalid::Malformed {
            field: self.field,
            problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_big_endian_and_end_is_strict() {
        let mut decoder = Decoder::new("receipt", &[1, 0, 2, 0, 0, 0, 3, 9]);

        assert_eq!(decoder.u8(), Ok(1));
        assert_eq!(decoder.u16(), Ok(2));
        assert_eq!(decoder.u32(), Ok(3));
        assert_eq!(
            decoder.end().unwrap_err().to_string(),
            "the receipt has trailing bytes"
        );
    }

    #[test]
    fn a_text_with_a_control_character_or_no_length_is_refused() {
        assert!(Decoder::new("batch", b"\x02a\n").text().is_err());
        assert!(Decoder::new("batch", b"\x00").text().is_err());
        assert!(Decoder::new("batch", b"\x02\xff\xff").text().is_err());
        assert_eq!(
            Decoder::new("batch", b"\x03a/1").text(),
            Ok("a/1".to_owned())
        );
    }
}
