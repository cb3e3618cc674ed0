"""Tables of TOML read into frozen dataclasses: closed, typed, with the place named in every error.

The annotations of the dataclass are the schema. Understood are ``str``, ``int``, ``bool``, dataclasses, ``X | None``
and ``tuple[X, ...]`` of these. A field without a default is required; a key without a field is refused.
"""

from __future__ import annotations

import dataclasses
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from reconnect.kit.errors import ConfigError
from reconnect.kit.suggest import unknown

T = TypeVar("T")


def read(kind: type[T], table: object, where: str, **given: object) -> T:
    """Make a ``kind`` from a TOML table.

    :param where: file and table, for messages, for example ``stacks.toml [component.qemu-7.2]``.
    :param given: fields that don't come from the table (its own name).
    :raises ConfigError: an unknown or missing key, or a value of another type than the field's.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table, not {_toml_name(table)}")
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name not in given}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise unknown("key", key, fields, where)
    values: dict[str, Any] = dict(given)
    for name, field in fields.items():
        if name in table:
            values[name] = _value(hints[name], table[name], f"{where} {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where} has no {name!r}", hint=f"add {name} = ... to that table")
    return kind(**values)


def _value(hint: Any, value: object, where: str) -> Any:
    if isinstance(hint, types.UnionType) or get_origin(hint) is Union:
        (inner,) = (a for a in get_args(hint) if a is not type(None))
        return _value(inner, value, where)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} must be an array, not {_toml_name(value)}")
        return tuple(_value(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return read(hint, value, where)
    # bool is an int in Python, not in TOML.
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} must be {_WORDS[hint]}, not {_toml_name(value)}")
    return value


_WORDS = {str: "a string", int: "a whole number", bool: "true or false"}


def _toml_name(value: object) -> str:
    return {dict: "a table", list: "an array", **_WORDS}.get(type(value), type(value).__name__)
