"""The command `gradwire-server quarantine`: shows the plans that are refused, and lifts one.

It works on the cache directory, whether or not servers run. It must not import JAX.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Sequence

from gradwire_server.config.addresses import SettingsError
from gradwire_server.config.flags import parse_settings, variable_of
from gradwire_server.config.settings import OFF
from gradwire_server.process.background_log import BackgroundLog
from gradwire_server.process.exits import FAILED, WRONG_USAGE, refuse
from gradwire_server.process.quarantine import Quarantine
from gradwire_server.supervise import open_quarantine

NAME = "quarantine"


def main(arguments: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        The exit code: 1 if a plan can't be lifted or there is no list, 2 for a wrong setting.
    """
    options = _parser().parse_args(arguments)
    cache_dir = [] if options.cache_dir is None else ["--cache-dir", options.cache_dir]
    try:
        settings = parse_settings(cache_dir)
    except SettingsError as error:
        return refuse(str(error), WRONG_USAGE)
    if settings.cache_dir == OFF:
        return refuse("`cache_dir` is off, so a quarantine is in the memory of its server alone")
    os.umask(0o077)
    logging.basicConfig(format="gradwire-server: %(message)s")
    log = BackgroundLog(logging.getLogger(__name__))
    quarantine = open_quarantine(settings, log)
    try:
        return _list(quarantine) if options.list else _lift(quarantine, options.lift)
    finally:
        log.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"gradwire-server {NAME}",
        description="Shows the plans that are refused because they ended a server or ran for "
        "too long, and the compiles that passed a bound or ended compilers, or lifts one. A "
        "server that runs notices within a second.",
        allow_abbrev=False,
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        "--list",
        action="store_true",
        help="print one line for each plan: its id, the seconds left, and the reason",
    )
    action.add_argument(
        "--lift", metavar="PLAN_ID", help="refuse this plan and its compiles no longer"
    )
    parser.add_argument(
        "--cache-dir",
        metavar="X",
        help=f"that of the servers; also {variable_of('cache_dir')} in the environment",
    )
    return parser


def _list(quarantine: Quarantine) -> int:
    now = time.time()
    for plan, entry in quarantine.plans().items():
        print(plan, f"{entry.until - now:.0f}", entry.reason)
    return 0


def _lift(quarantine: Quarantine, plan: str) -> int:
    place = quarantine.file
    if not quarantine.lift(plan):
        return refuse(f"the plan {plan} is not quarantined in {place}")
    return FAILED if quarantine.file is None else 0  # the log says why it can't be written
