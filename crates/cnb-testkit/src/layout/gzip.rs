//! Gzip without compression: the bytes differ from those of the tar, which is what tests of digests need.

/// The most bytes of a stored block.
const BLOCK: usize = 0xffff;

/// Wraps `bytes` in gzip; the same bytes give the same result, with every version of every library.
pub(super) fn store(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = bytes.chunks(BLOCK).peekable();
    if blocks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        out.push(u8::from(blocks.peek().is_none()));
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(bytes).to_le_bytes());
    // The format has the length modulo 2^32.
    out.extend_from_slice(&bytes.len().to_le_bytes()[..4]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut table = [0_u32; 256];
    for (byte, entry) in (0..).zip(&mut table) {
        *entry =
            (0..8).fold(byte, |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 });
    }
    !bytes.iter().fold(!0, |crc, byte| crc >> 8 ^ table[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::run;

    #[test]
    fn gzip_reads_what_was_stored() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 5, BLOCK, 200_000] {
            let bytes: Vec<u8> = (b'a'..=b'z').cycle().take(length).collect();
            fs_err::write(dir.path().join("file.gz"), store(&bytes)).unwrap();
            assert_eq!(run("gzip", &["-dc", "file.gz"], dir.path()).as_bytes(), bytes);
        }
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
