"""Refuses messages with fields that this version doesn't know.

Protobuf silently drops such fields, and a dropped field of a newer version can
make a result wrong. It takes any message, and depends on none in particular.
"""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from gradwire.errors import InvalidProgramError, Reason


def reject_unknown_fields(
    message: Message,
    field: str,
    exempt: tuple[type[Message], ...] = (),
    *,
    reason: Reason = Reason.ERROR_REASON_INVALID_REQUEST,
) -> None:
    """Checks that a message and all that it holds have known fields only.

    Args:
        message: The message. It must not hold maps.
        field: Its path, such as ``inline``; empty for a whole request.
        exempt: Messages of these types may hold anything.
        reason: The reason of the error.

    Raises:
        InvalidProgramError: there is one. ``field`` names the first: its path,
            ending in its number.
    """
    found = _find_unknown(message, exempt)
    if found is None:
        return
    where = f"{field}.{found}" if field else found
    raise InvalidProgramError(
        f"`{where}` must be a field that this version knows; "
        f"got the unknown field number {found.rpartition('.')[2]}",
        reason=reason,
        field=where,
    )


def has_unknown_fields(message: Message) -> bool:
    """Checks the same of a message that may be changed, and faster.

    It discards unknown fields and compares sizes: a few passes in C, where
    a walk makes a Python object of each sub-message. It is for messages of
    many parts and few bytes, since the passes copy the bytes.
    """
    before = message.ByteSize()
    message.DiscardUnknownFields()
    return message.ByteSize() != before


def _find_unknown(message: Message, exempt: tuple[type[Message], ...]) -> str | None:
    """Returns the path of the first unknown field, built as the recursion returns."""
    if isinstance(message, exempt):
        return None
    unknown = UnknownFieldSet(message)
    if len(unknown):
        return str(unknown[0].field_number)
    for name in _message_fields(message.DESCRIPTOR):
        value = getattr(message, name)
        if isinstance(value, Message):
            if message.HasField(name) and (found := _find_unknown(value, exempt)):
                return f"{name}.{found}"
            continue
        for index, item in enumerate(value):
            if found := _find_unknown(item, exempt):
                return f"{name}[{index}].{found}"
    return None


@cache
def _message_fields(descriptor: Descriptor) -> tuple[str, ...]:
    """Returns the names of the fields that hold messages.

    Only these are looked into: to list all fields would copy every tensor.
    """
    return tuple(f.name for f in descriptor.fields if f.message_type is not None)
