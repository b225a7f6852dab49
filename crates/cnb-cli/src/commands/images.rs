//! `cnb images`: what the local store holds.

use std::fmt::Write as _;

use cnb_platform::{Platform, StoredImage};

use crate::args::ImagesArgs;
use crate::error::CliError;
use crate::printer::Printer;
use crate::world::World;
use crate::{moment, quantity, text};

/// Lists the images of the local store.
pub(crate) fn run(args: &ImagesArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    let platform = Platform::new(world.home()?, world.env.clone());
    let images = platform.images()?;
    if args.json {
        return printer.json(&images);
    }
    if printer.quiet {
        let names: Vec<String> = images.iter().map(|image| text::one_line(&image.name) + "\n").collect();
        return printer.data(&names.concat());
    }
    if images.is_empty() {
        printer.note("No images yet; `cnb build . --image myapp` makes one");
        return Ok(());
    }
    printer.data(&table(&images, moment::seconds((world.clock)())))
}

fn table(images: &[StoredImage], now: i64) -> String {
    let mut rows = vec![["NAME", "DIGEST", "SIZE", "CREATED"].map(str::to_owned)];
    rows.extend(images.iter().map(|image| {
        let digest = image.digest.rsplit(':').next().unwrap_or_default();
        let short = digest.get(..12).unwrap_or(digest);
        [
            text::one_line(&image.name),
            short.to_owned(),
            quantity::size(image.size),
            created(&image.created, now),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut table = String::new();
    for [name, digest, size, created] in &rows {
        let [a, b, c] = widths;
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{name:a$}   {digest:b$}   {size:c$}   {created}");
    }
    table
}

/// Returns how old an image is; the fixed time of reproducible images tells nothing.
fn created(created: &str, now: i64) -> String {
    if created.starts_with("1980-01-01T00:00:01") {
        return "reproducible".to_owned();
    }
    moment::parse(created).map_or_else(|| "-".to_owned(), |then| moment::ago(then, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_they_hold() {
        let image = |name: &str, size, created: &str| StoredImage {
            name: name.to_owned(),
            reference: String::new(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            image_id: String::new(),
            size,
            created: created.to_owned(),
        };
        let images = [
            image("a", 45 << 20, "1980-01-01T00:00:01Z"),
            image("registry.example/team/app:1.2", 1 << 10, "1970-01-01T00:00:00Z"),
            image("ü\x1b", 1, ""),
        ];
        assert_eq!(
            table(&images, 7200),
            "NAME                            DIGEST         SIZE     CREATED\n\
             a                               abababababab   45 MiB   reproducible\n\
             registry.example/team/app:1.2   abababababab   1 KiB    2 hours ago\n\
             ü\\u{1b}                         abababababab   1 B      -\n"
        );
    }
}
