//! Proxies: the variables that nearly all tools read, in both spellings.

use super::Collector;

pub(super) fn collect(found: &mut Collector<'_>) {
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY"] {
        found.pass_address(name);
        found.pass_address(&name.to_ascii_lowercase());
    }
    found.pass("NO_PROXY");
    found.pass("no_proxy");
}
