"""The parts of a server that a machine may not have: its device, and folders on its disk."""

from __future__ import annotations

import logging
from pathlib import Path

from gradwire_server.config.settings import ANY, AUTO, OFF, Settings, default_cache_dir, own_folder
from gradwire_server.jax_setup import DeviceError, set_up_jax
from gradwire_server.runtime import devices
from gradwire_server.runtime.store import Store, StoreError
from gradwire_server.warmup import ProgramRecorder, WarmError

_log = logging.getLogger(__name__)


class StartError(Exception):
    """The server can't start; the message says why."""


def set_up_device(settings: Settings) -> None:
    """Has JAX find its device.

    Raises:
        StartError: there is none, or not of the platform asked for.
    """
    try:
        set_up_jax()
    except DeviceError as error:
        raise StartError(str(error)) from error
    device = devices.list_devices()[0]
    if settings.platform not in (ANY, device.platform):
        raise StartError(
            f"`platform` must be that of the device; got {settings.platform!r}, and JAX has found "
            f"{device.platform!r} ({device.kind})"
        )


def open_recorder(settings: Settings) -> ProgramRecorder | None:
    """Opens the folder in which programs are recorded, if there is to be one.

    Raises:
        StartError: it can't be used.
    """
    try:
        return None if settings.record_dir == OFF else ProgramRecorder(settings)
    except WarmError as error:
        raise StartError(str(error)) from error


def open_store(settings: Settings) -> Store | None:
    """Opens the cache directory. One that nobody asked for may be missing.

    Raises:
        StartError: one that was asked for can't be used.
    """
    if settings.cache_dir == OFF:
        return None
    try:
        directory = settings.cache_dir
        path = default_cache_dir() if directory == AUTO else own_folder(Path(directory))
        return Store(path, settings.max_cache_bytes)
    except (StoreError, RuntimeError) as error:
        if settings.cache_dir != AUTO:
            raise StartError(str(error)) from error
        _log.warning("compiled programs are not kept: %s", error)
        return None
