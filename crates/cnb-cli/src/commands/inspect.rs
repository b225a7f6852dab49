//! `cnb inspect`: what an image consists of.

use std::fmt::Write as _;

use cnb_platform::{Cancel, Inspection};

use crate::args::InspectArgs;
use crate::error::CliError;
use crate::printer::Printer;
use crate::request::Surroundings;
use crate::text::one_line;
use crate::world::World;
use crate::{place, quantity, remote};

/// Shows an image.
pub(crate) fn run(args: &InspectArgs, world: &World, printer: Printer) -> Result<(), CliError> {
    let image = place::place(&args.image, Surroundings::of(world)?.cwd)?;
    let wanted = args.platform.as_deref().map(place::platform).transpose()?;
    let (platform, _) = remote::platform(&args.remote, world, printer)?;
    let inspection = platform.inspect(&image, wanted.as_ref(), &Cancel::new())?;
    if args.json { printer.json(&inspection) } else { printer.data(&show(&inspection, printer.verbose)) }
}

fn show(inspection: &Inspection, verbose: bool) -> String {
    let image = &inspection.image;
    let mut text = String::new();
    let size = if image.size == 0 { String::new() } else { quantity::size(image.size) };
    let rebasable = match inspection.rebasable {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    let facts = [
        ("Name", &image.name),
        ("Place", &inspection.place),
        ("Reference", &image.reference),
        ("Digest", &image.digest),
        ("Image ID", &image.image_id),
        ("Size", &size),
        ("Created", &image.created),
        ("Platform", &inspection.platform),
        ("Platforms", &inspection.platforms.join(", ")),
        ("Run image", &inspection.run_image),
        ("Mirrors", &inspection.run_image_mirrors.join(", ")),
        ("Rebasable", &rebasable.to_owned()),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "{:<11}{}", format!("{name}:"), one_line(value));
    }
    section(&mut text, "Buildpacks", &inspection.buildpacks);
    let processes: Vec<String> = inspection
        .processes
        .iter()
        .map(|p| {
            let default = if p.default { " (default)" } else { "" };
            format!("{}{default}: {}", p.process_type, p.command.join(" "))
        })
        .collect();
    section(&mut text, "Processes", &processes);
    let layers: Vec<String> = inspection
        .layers
        .iter()
        .map(|layer| {
            format!(
                "{}  {:>8}  {}",
                quantity::short_digest(&layer.digest),
                // Engines do not tell it.
                if layer.size == 0 { "-".to_owned() } else { quantity::size(layer.size) },
                layer.name
            )
        })
        .collect();
    section(&mut text, "Layers", &layers);
    if verbose {
        section(&mut text, "Environment", &inspection.env);
        let labels: Vec<String> =
            inspection.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        section(&mut text, "Labels", &labels);
    }
    text
}

fn section(text: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}:");
    for line in lines {
        let _ = writeln!(text, "  {}", one_line(line));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cnb_platform::{ReportLayer, ReportProcess, StoredImage};

    use super::*;

    #[test]
    fn an_image_is_told_from_its_name_down_to_its_layers() {
        let inspection = Inspection {
            image: StoredImage {
                name: "myapp".to_owned(),
                reference: "index.docker.io/library/myapp:latest".to_owned(),
                digest: "sha256:aa".to_owned(),
                image_id: String::new(),
                size: 45 << 20,
                created: "1980-01-01T00:00:01Z".to_owned(),
            },
            place: "store:myapp".to_owned(),
            platform: "linux/amd64".to_owned(),
            platforms: Vec::new(),
            run_image: "host".to_owned(),
            run_image_mirrors: vec!["mirror.example/host".to_owned()],
            rebasable: Some(true),
            buildpacks: vec!["cnb/nodejs@0.1.0".to_owned()],
            processes: vec![ReportProcess {
                process_type: "web".to_owned(),
                command: vec!["node".to_owned(), "a\nb".to_owned()],
                default: true,
            }],
            layers: vec![ReportLayer {
                name: "run image".to_owned(),
                diff_id: String::new(),
                digest: format!("sha256:{}", "ab".repeat(32)),
                size: 1 << 20,
                reused: false,
            }],
            labels: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
            env: vec!["A=1".to_owned()],
        };
        let expected = "\
Name:      myapp
Place:     store:myapp
Reference: index.docker.io/library/myapp:latest
Digest:    sha256:aa
Size:      45 MiB
Created:   1980-01-01T00:00:01Z
Platform:  linux/amd64
Run image: host
Mirrors:   mirror.example/host
Rebasable: yes

Buildpacks:
  cnb/nodejs@0.1.0

Processes:
  web (default): node a\\nb

Layers:
  sha256:abababababab     1 MiB  run image
";
        assert_eq!(show(&inspection, false), expected);
        assert_eq!(show(&inspection, true), format!("{expected}\nEnvironment:\n  A=1\n\nLabels:\n  k=v\n"));
    }
}
