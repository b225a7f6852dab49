"""Service bindings: a folder for each below $SERVICE_BINDING_ROOT, with a file `type` and one for each key."""

import os
from pathlib import Path


def binding(kind):
    """Return the first binding of a type as a dictionary, or an empty one."""
    root = Path(os.environ.get("SERVICE_BINDING_ROOT", "/platform/bindings"))
    for folder in sorted(root.glob("*/")):
        values = {file.name: file.read_text().strip() for file in folder.iterdir() if file.is_file()}
        if values.get("type", "").lower() == kind:
            return values
    return {}
