"""User-data for cloud-init: the node's files, and the commands that start nodeagent and wait for the node."""

import base64
from collections.abc import Sequence

from nodeagent.enroll import yaml
from nodeagent.enroll.placing import File

HEADER = "#cloud-config\n# Written by `nodeagent enroll cloud-init`.\n"


def user_data(files: Sequence[File], *, timeout: float) -> str:
    """A cloud-config; cloud-init says ``error`` of a node that is not configured after so many seconds."""
    return HEADER + yaml.dump(
        {
            "write_files": [_entry(file) for file in files],
            "runcmd": [
                ["systemctl", "enable", "nodeagent.service"],
                # One that the image has switched on runs already, and may be waiting for these files.
                ["systemctl", "reload-or-restart", "nodeagent.service"],
                ["nodeagent", "ready", "--wait", "--timeout", f"{timeout:g}"],
            ],
        }
    )


def _entry(file: File) -> dict[str, yaml.Value]:
    entry: dict[str, yaml.Value] = {
        "path": f"/{file.path}",
        "owner": "root:root",
        "permissions": f"{file.mode:04o}",
    }
    try:
        return entry | {"content": file.content.decode()}
    except UnicodeDecodeError:
        return entry | {"encoding": "b64", "content": base64.b64encode(file.content).decode()}
