//! Which licence a text is, for packages whose manifests do not say: by the sentences that no other licence has.

use std::path::Path;

/// Sentences, all of which a licence has, and its SPDX identifier; the stricter before those that are a part of it.
const KNOWN: &[(&[&str], &str)] = &[
    (&["apache license", "version 2.0"], "Apache-2.0"),
    (&["mozilla public license", "2.0"], "MPL-2.0"),
    (&["gnu affero general public license", "version 3"], "AGPL-3.0-only"),
    (&["gnu lesser general public license", "version 3"], "LGPL-3.0-only"),
    (&["gnu lesser general public license", "version 2.1"], "LGPL-2.1-only"),
    (&["gnu general public license", "version 3"], "GPL-3.0-only"),
    (&["gnu general public license", "version 2"], "GPL-2.0-only"),
    (&["eclipse public license", "2.0"], "EPL-2.0"),
    (&["free and unencumbered software released into the public domain"], "Unlicense"),
    (&["cc0 1.0 universal"], "CC0-1.0"),
    (
        &[
            "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee",
        ],
        "ISC",
    ),
    (
        &[
            "permission to use, copy, modify, and distribute this software for any purpose with or without fee",
        ],
        "ISC",
    ),
    (&["redistribution and use in source and binary forms", "neither the name"], "BSD-3-Clause"),
    (&["redistribution and use in source and binary forms", "may not be used to endorse"], "BSD-3-Clause"),
    (&["redistribution and use in source and binary forms"], "BSD-2-Clause"),
    (
        &[
            "permission is hereby granted, free of charge",
            "the above copyright notice and this permission notice",
        ],
        "MIT",
    ),
    (&["boost software license", "version 1.0"], "BSL-1.0"),
    (&["altered source versions must be plainly marked as such"], "Zlib"),
];
/// What files with a licence are called, in small letters.
const NAMES: &[&str] = &["license", "licence", "copying", "unlicense"];
/// No licence is longer.
const LONGEST: u64 = 256 << 10;

/// Returns the SPDX identifier of a licence's text; `None` for one that is not known.
pub fn identify(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    KNOWN.iter().find(|(says, _)| says.iter().all(|s| text.contains(s))).map(|(_, id)| *id)
}

/// Looks for a file with a licence in the folder of a package, and returns the SPDX identifier of the first that is
/// known.
pub fn of_folder(dir: &Path) -> Option<&'static str> {
    let entries = fs_err::read_dir(dir).ok()?.filter_map(Result::ok);
    let is_license = |name: &str| NAMES.iter().any(|n| name.to_lowercase().starts_with(n));
    let mut files: Vec<_> =
        entries.filter(|e| is_license(&e.file_name().to_string_lossy())).map(|e| e.path()).collect();
    files.sort();
    files.iter().filter(|f| f.metadata().is_ok_and(|m| m.is_file() && m.len() <= LONGEST)).find_map(|file| {
        let bytes = fs_err::read(file).ok()?;
        identify(&String::from_utf8_lossy(&bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::{identify, of_folder};

    #[test]
    fn licences_are_known_by_their_sentences_whatever_the_line_breaks() {
        let mit = "MIT License\n\nCopyright (c) 2020 X\n\nPermission is hereby granted, free\nof charge, to any person …\n\
                   The above copyright notice and this permission notice shall be included";
        assert_eq!(identify(mit), Some("MIT"));
        let bsd = "Redistribution and use in source and binary forms, with or without …";
        assert_eq!(identify(bsd), Some("BSD-2-Clause"));
        assert_eq!(identify(&format!("{bsd} Neither the name of X nor …")), Some("BSD-3-Clause"));
        assert_eq!(identify("Apache License\n   Version 2.0, January 2004"), Some("Apache-2.0"));
        assert_eq!(identify("All rights reserved."), None);
    }

    #[test]
    fn the_file_may_have_any_of_the_usual_names() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(of_folder(dir.path()), None);
        fs_err::write(dir.path().join("README.md"), "Apache License Version 2.0").unwrap();
        assert_eq!(of_folder(dir.path()), None);
        fs_err::write(dir.path().join("Licence.txt"), "Mozilla Public License, version 2.0").unwrap();
        assert_eq!(of_folder(dir.path()), Some("MPL-2.0"));
    }
}
