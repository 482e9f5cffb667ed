"""Settings are read from flags, and from variables of the environment."""

from __future__ import annotations

import pytest

from gradwire_server.config.addresses import SettingsError
from gradwire_server.config.flags import (
    documentation,
    parse_settings,
    settings_fields,
    unknown_variables,
)
from gradwire_server.config.settings import OFF, Settings

FIELDS = list(settings_fields())
NUMBERS = [
    (owner, entry.name, entry.type) for owner, entry in FIELDS if entry.type in ("int", "float")
]


def _get(settings: Settings, owner: type, name: str) -> object:
    return getattr(settings if owner is Settings else settings.program, name)


def test_every_setting_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """Each field has a sentence, and its flag is in the help."""
    with pytest.raises(SystemExit) as caught:
        parse_settings(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for owner, entry in FIELDS:
        assert documentation(owner)[entry.name].endswith((".", "...")), entry.name
        assert "--" + entry.name.replace("_", "-") in text


@pytest.mark.parametrize(("owner", "name", "kind"), NUMBERS)
def test_a_number_is_read_from_flag_and_environment(owner: type, name: str, kind: str) -> None:
    """The flag wins over the variable, the variable over the default."""
    flag, variable = "--" + name.replace("_", "-"), "GRADWIRE_SERVER_" + name.upper()
    default = _get(Settings(), owner, name)
    assert _get(parse_settings([], {}), owner, name) == default
    assert _get(parse_settings([], {variable: "3"}), owner, name) == 3
    assert _get(parse_settings([flag, "2"], {variable: "3"}), owner, name) == 2
    with pytest.raises(SettingsError, match=rf"`{flag}` must be of type {kind}; got 'many'"):
        parse_settings([flag, "many"], {})


@pytest.mark.parametrize(("owner", "name", "kind"), NUMBERS)
def test_a_number_has_a_least_value(owner: type, name: str, kind: str) -> None:
    """It may be that, and no less; not-a-number is less than anything."""
    flag = "--" + name.replace("_", "-")
    least = 0 if name in ("grace", "drain_delay", "max_device_bytes") else 1
    assert _get(parse_settings([flag, str(least)], {}), owner, name) == least
    for wrong in (str(least - 1), *(["nan"] if kind == "float" else [])):
        with pytest.raises(SettingsError, match=f"`{name}` must be at least {least}"):
            parse_settings([flag, wrong], {})


def test_an_embedded_server_has_no_metrics_unless_asked() -> None:
    """Two programs on one machine must not fight for a port."""
    assert parse_settings(["--embedded"], {}).metrics == OFF
    assert parse_settings([], {"GRADWIRE_SERVER_EMBEDDED": "true"}).metrics == OFF
    assert parse_settings(["--embedded", "--metrics", "[::1]:0"], {}).metrics == "[::1]:0"
    assert parse_settings([], {"GRADWIRE_SERVER_EMBEDDED": "0"}).metrics != OFF


def test_unknown_flags_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Abbreviations, too: they would change their meaning with the next flag."""
    for wrong in ("--max-plan", "--nonsense"):
        with pytest.raises(SystemExit) as caught:
            parse_settings([wrong, "1"], {})
        assert caught.value.code == 2
        assert wrong in capsys.readouterr().err


def test_variables_that_are_no_setting_are_found() -> None:
    """By their prefix: a slip of the pen would otherwise be a bound that isn't there."""
    environment = {
        "GRADWIRE_SERVER_MAX_PLNS": "3", "GRADWIRE_SERVER_MAX_PLANS": "3", "GRADWIRE_TARGET": "x",
    }  # fmt: skip
    assert unknown_variables(environment) == ["GRADWIRE_SERVER_MAX_PLNS"]
