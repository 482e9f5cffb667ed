"""Reads settings from flags and environment variables."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gradwire_server.config.addresses import SettingsError
from gradwire_server.config.settings import OFF, Settings
from gradwire_server.program.limits import ProgramLimits

ENVIRONMENT_PREFIX = "GRADWIRE_SERVER_"


def parse_settings(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Settings:
    """Reads settings from flags and, where a flag is absent, from the environment.

    The flag of ``max_plans`` is ``--max-plans``, its variable
    ``GRADWIRE_SERVER_MAX_PLANS``.

    Raises:
        SettingsError: a value is not valid.
        SystemExit: for ``--help``, and for flags that don't exist.
    """
    environment = os.environ if environment is None else environment
    flags = vars(_parser().parse_args(arguments))
    values: dict[type, dict[str, Any]] = {Settings: {}, ProgramLimits: {}}
    for owner, entry in settings_fields():
        text = flags[entry.name]
        source = flag_of(entry.name)
        if text is None:
            source = variable_of(entry.name)
            text = environment.get(source)
        if text is not None:
            values[owner][entry.name] = _read(source, text, entry.type)
    own = values[Settings]
    if own.get("embedded"):
        own.setdefault("metrics", OFF)
    return Settings(**own, program=ProgramLimits(**values[ProgramLimits]))


def flag_of(name: str) -> str:
    """Returns the flag of a setting."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Returns the variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper()


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Returns the variables with the prefix of settings that name no setting."""
    known = {variable_of(entry.name) for _, entry in settings_fields()}
    return sorted(
        name for name in environment if name.startswith(ENVIRONMENT_PREFIX) and name not in known
    )


def settings_fields() -> Iterator[tuple[type, dataclasses.Field[Any]]]:
    """Yields every setting, and the class that it is a field of."""
    for owner in (Settings, ProgramLimits):
        for entry in dataclasses.fields(owner):
            if entry.name != "program":
                yield owner, entry


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradwire-server",
        description="Computes derivatives for gradwire's clients, with JAX.",
        epilog="Each flag can also be set in the environment: --max-plans as "
        f"{ENVIRONMENT_PREFIX}MAX_PLANS. `gradwire-server quarantine --help` tells how to "
        "see and lift what a server refuses.",
        allow_abbrev=False,
    )
    for owner, entry in settings_fields():
        flag = flag_of(entry.name)
        doc = documentation(owner)[entry.name].replace("%", "%%")
        if entry.type == "bool":
            parser.add_argument(flag, action="store_const", const="true", help=doc)
        else:
            has_default = entry.default not in (dataclasses.MISSING, "")
            default = f" [{entry.default}]" if has_default else ""
            parser.add_argument(flag, metavar="X", help=doc + default)
    return parser


def documentation(owner: type) -> dict[str, str]:
    """Returns the documentation of each field, from the class's docstring."""
    text = (owner.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", text, re.MULTILINE)
    return {name: " ".join(doc.split()) for name, doc in found}


def _read(source: str, text: str, kind: Any) -> Any:
    try:
        if kind == "bool":
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return {"int": int, "float": float, "str": str}[kind](text)
    except (KeyError, ValueError):
        raise SettingsError(f"`{source}` must be of type {kind}; got {text!r}") from None
