"""What a finished step was made from, so that nothing is done twice and a redo says which input changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from reconnect.kit import jsonfile

Inputs = Mapping[str, str]
"""Names of inputs, as a person would call them, and their values."""


def why_redo(path: Path, inputs: Inputs, products: Mapping[str, Path]) -> str:
    """Why a step must be done (again).

    :param path: the stamp that the step left.
    :param products: what must exist, by name.
    :returns: a reason for the user, or nothing where the step's result is good as it is.
    """
    stamped = _stamped(path)
    if not stamped:
        return "not done yet"
    changed = [name for name in {**stamped, **inputs} if stamped.get(name) != inputs.get(name)]
    if changed:
        return f"changed: {', '.join(changed)}"
    gone = [name for name, product in products.items() if not product.exists()]
    return f"missing: {', '.join(gone)}" if gone else ""


def write(path: Path, inputs: Inputs) -> None:
    """Leave the stamp of a finished step."""
    jsonfile.write(path, {"inputs": dict(inputs)})


def digest(*parts: str) -> str:
    """A short hash of texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def inputs(path: Path) -> Inputs:
    """The inputs that a stamp names; none where there is no stamp."""
    return _stamped(path)


def _stamped(path: Path) -> dict[str, str]:
    found = jsonfile.read(path).get("inputs")
    return found if isinstance(found, dict) else {}
