//! What is wrong with a request, found before anything is started.

use std::os::unix::ffi::OsStrExt;

use cnb_fs::FsError;

use crate::{BuildRequest, Failure, FailureKind, binding};

/// Finds what is wrong with the request before anything is started.
pub(crate) fn check(request: &BuildRequest) -> Result<(), Failure> {
    let app = &request.app;
    let wrong = |message: String| Failure::new(FailureKind::Request, message);
    match std::fs::metadata(app.as_path()) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let failure = wrong(format!("`{app}` is not a folder"));
            return Err(failure.hint("name the folder that holds the application's source"));
        }
        Err(e) => {
            let failure = wrong(format!("there is no application at `{app}`"))
                .because(FsError::on("look at", app.as_path())(e));
            return Err(failure.hint("name the folder that holds the application's source"));
        }
    }
    let workspace = request.workspace.to_string();
    let taken = ["/layers", "/platform", "/cnb", "/usr", "/bin", "/lib", "/etc", "/proc", "/dev", "/tmp"];
    if workspace == "/" || taken.iter().any(|t| workspace == *t || workspace.starts_with(&format!("{t}/"))) {
        return Err(wrong(format!(
            "the application cannot lie at `{workspace}` in the image: the folder has another use"
        )));
    }
    for volume in &request.volumes {
        if !volume.host.as_path().exists() {
            return Err(wrong(format!("there is no `{}` to mount at `{}`", volume.host, volume.guest)));
        }
        if ["/", "/layers", "/cnb", "/proc", "/dev"].contains(&volume.guest.to_string().as_str()) {
            return Err(wrong(format!(
                "nothing can be mounted at `{}`: the folder has another use",
                volume.guest
            )));
        }
    }
    if let Some(conflict) = binding::conflict(&request.bindings) {
        return Err(wrong(conflict));
    }
    for (name, value) in &request.env {
        if name.is_empty() || name.contains(['/', '=', '\0']) || value.as_bytes().contains(&0) {
            return Err(wrong(format!("`{name}` cannot be an environment variable")));
        }
    }
    Ok(())
}
