//! Digests of blobs, layers and images: three meanings of the same bytes, so three types.
//!
//! OCI image specification, "Digests"; only `sha256` is in use. Nothing is hashed here: these types hold
//! and show what was computed elsewhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a digest: expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct DigestError {
    text: String,
}

macro_rules! sha256_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the 32 bytes of a sha256.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes of the sha256.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Returns the 64 hexadecimal digits, without the algorithm.
            pub fn hex(&self) -> String {
                hex(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "sha256:{}", hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                parse(text).map(Self).ok_or_else(|| DigestError { text: text.to_owned() })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

sha256_type! {
    /// The digest of a blob exactly as it is stored, compressed or not.
    ///
    /// ```
    /// let text = format!("sha256:{}", "0a".repeat(32));
    /// let digest: cnb_spec::digest::Digest = text.parse().unwrap();
    /// assert_eq!(digest.to_string(), text);
    /// ```
    Digest
}

sha256_type! {
    /// The digest of a layer's *uncompressed* tar stream. Never interchangeable with [`Digest`].
    DiffId
}

sha256_type! {
    /// The digest of an image's config: what engines call the image ID.
    ImageId
}

fn hex(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(64);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_digest() {
        let text = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
        let digest: Digest = text.parse().unwrap();
        assert_eq!(digest.to_string(), text);
        assert_eq!(digest.hex(), text[7..]);
        assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<DiffId>(&format!("\"{text}\"")).unwrap().to_string(), text);
    }

    #[test]
    fn everything_else_is_refused() {
        let digits = "ab".repeat(32);
        for text in [
            "",
            "sha256:",
            "sha256:ab",
            &digits,
            &format!("sha512:{digits}"),
            &format!("sha256:{}", digits.to_uppercase()),
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(format!("sha256:{digits}0").parse::<ImageId>().is_err());
        assert!(format!("sha256:{}é", "a".repeat(62)).parse::<ImageId>().is_err());
    }

    #[test]
    fn order_is_that_of_the_text() {
        let low: Digest = format!("sha256:{}", "09".repeat(32)).parse().unwrap();
        let high: Digest = format!("sha256:{}", "a0".repeat(32)).parse().unwrap();
        assert!(low < high);
    }
}
