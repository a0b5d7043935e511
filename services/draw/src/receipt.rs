//! The receipt that every applicant gets: proof, with the bundle, of having been in the list or not.

use crate::{
    Invalid,
    codec::{Decoder, check_text, put_text},
    signature::{PublicKey, SigningKey},
};

const DOMAIN: &[u8] = b"bekal/receipt/1";

/// What an applicant was told when applying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Resource name of the batch.
    pub batch: String,
    /// Pseudonym of the application.
    pub pseudonym: [u8; 16],
    /// When the application was accepted, in seconds since 1970.
    pub apply_time: u64,
}

/// A receipt with its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReceipt {
    /// What is signed.
    pub receipt: Receipt,
    /// Ed25519 signature of the canonical encoding.
    pub signature: [u8; 64],
}

impl Receipt {
    /// Returns the canonical encoding, which is what gets signed.
    ///
    /// # Errors
    /// Refuses a batch name outside the limits.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Invalid> {
        check_text("batch", &self.batch)?;
        let mut out = DOMAIN.to_vec();
        put_text(&mut out, &self.batch);
        out.extend_from_slice(&self.pseudonym);
        out.extend_from_slice(&self.apply_time.to_be_bytes());
        Ok(out)
    }

    /// Signs the receipt.
    ///
    /// # Errors
    /// Refuses a batch name outside the limits.
    pub fn sign(self, key: &SigningKey) -> Result<SignedReceipt, Invalid> {
        let signature = key.sign(&self.to_bytes()?);
        Ok(SignedReceipt {
            receipt: self,
            signature,
        })
    }
}

impl SignedReceipt {
    /// Returns the receipt file: the encoding, then the signature.
    ///
    /// # Errors
    /// Refuses a batch name outside the limits.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Invalid> {
        let mut out = self.receipt.to_bytes()?;
        out.extend_from_slice(&self.signature);
        Ok(out)
    }

    /// Reads a receipt file, without checking the signature.
    ///
    /// # Errors
    /// Refuses every byte string that [`Self::to_bytes`] does not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        let mut fields = Decoder::new("receipt", bytes);
        fields.domain(DOMAIN)?;
        let receipt = Receipt {
            batch: fields.text()?,
            pseudonym: fields.array()?,
            apply_time: fields.u64()?,
        };
        let signature = fields.array()?;
        fields.end()?;
        Ok(Self { receipt, signature })
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// `ReceiptSignatureInvalid` if `key` did not sign this receipt.
    pub fn verify(&self, key: &PublicKey) -> Result<(), Invalid> {
        if key.verifies(&self.receipt.to_bytes()?, &self.signature) {
            Ok(())
        } else {
            Err(Invalid::ReceiptSignatureInvalid)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            batch: "batches/48".to_owned(),
            pseudonym: [b'p'; 16],
            apply_time: 258,
        }
    }

    #[test]
    fn a_receipt_is_laid_out_field_by_field() {
        assert_eq!(
            receipt().to_bytes().unwrap(),
            b"bekal/receipt/1\x0abatches/48pppppppppppppppp\0\0\0\0\0\0\x01\x02"
        );
    }

    #[test]
    fn every_byte_of_a_receipt_counts() {
        let key = SigningKey::from_seed(&[5; 32]);
        let bytes = receipt().sign(&key).unwrap().to_bytes().unwrap();
        let check = |bytes: &[u8]| {
            SignedReceipt::from_bytes(bytes).and_then(|read| read.verify(&key.public_key()))
        };
        assert_eq!(check(&bytes), Ok(()));

        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 1 << (i % 8);
            assert!(check(&changed).is_err(), "byte {i}");
        }
        assert!(check(&[&bytes[..], &[0]].concat()).is_err());
        assert!(check(&bytes[..bytes.len() - 1]).is_err());
    }
}
