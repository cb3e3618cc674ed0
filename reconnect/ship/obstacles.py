"""What keeps an engine from working on this machine, and the way out: a namespace, a storage, a daemon."""

from __future__ import annotations

import re
from collections.abc import Sequence

from reconnect.kit.command import CommandError
from reconnect.kit.errors import HostError

NAMESPACE = re.compile(
    r"user ?namespace|newuidmap|newgidmap|subuid|subgid|unshare|CLONE_NEW|cannot clone|rlimit|cgroup|crun|runc"
    r"|PID namespace|potentially insufficient UIDs",
    re.IGNORECASE,
)
STORAGE = re.compile(
    r"storage|overlay|graph ?driver|no space left|read-only file system|runroot|mkdir .*: permission denied",
    re.IGNORECASE,
)
DAEMON = re.compile(r"daemon|docker\.sock|docker API", re.IGNORECASE)

WAYS_OUT = {
    "namespace": "run as root with buildah, which needs none: apt-get install buildah; ./inv image --engine buildah\n"
    "or allow user namespaces: apt-get install uidmap; usermod --add-subuids 100000-165535 "
    "--add-subgids 100000-165535 $USER; sysctl user.max_user_namespaces=15000",
    "storage": "copy instead of overlay mounts (slower, more disk): STORAGE_DRIVER=vfs ./inv image\n"
    "or a storage elsewhere: CONTAINERS_STORAGE_CONF=FILE with graphroot on a disk with room",
    "daemon": "start it: systemctl start docker; and be in its group: usermod --append --groups docker $USER",
    "engine": "try another one with --engine",
}


def diagnose(engine: str, error: CommandError) -> HostError:
    """What a failed command of an engine lacked: a namespace, a usable storage, its daemon, or something else."""
    said = "\n".join(error.tail) or error.ending
    last = next((line for line in reversed(error.tail) if re.search("error|cannot|denied", line, re.IGNORECASE)), said)
    kinds = {"daemon": DAEMON, "namespace": NAMESPACE, "storage": STORAGE}
    kind = next((k for k, pattern in kinds.items() if pattern.search(last)), "")
    kind = kind or next((k for k, pattern in kinds.items() if pattern.search(said)), "engine")
    lacks = {
        "daemon": "its daemon doesn't answer",
        "namespace": "it gets no namespace, or another right, to start containers with",
        "storage": "its storage can't be used",
        "engine": "it failed",
    }
    return HostError(f"{engine} can't work here: {lacks[kind]}", why=str(error), hint=WAYS_OUT[kind])


def none_works(obstacles: Sequence[HostError]) -> HostError:
    """One error for what stands in the way of each engine."""
    if len(obstacles) == 1:
        return obstacles[0]
    return HostError(
        "none of the installed engines can work here",
        why="\n".join(f"{error.what}\n{error.why}" for error in obstacles),
        hint="\nor ".join(dict.fromkeys(error.hint for error in obstacles)),
    )
