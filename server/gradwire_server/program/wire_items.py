"""Counts what the bytes of a message would become, before they are parsed.

Two bytes of an empty sub-message become a hundred in memory, so a bound on
bytes alone is not enough. Uses protobuf's encoding and the messages' descriptors.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gradwire.errors import InvalidProgramError, Reason
from gradwire_server.program.exceeded import exceeded

_TEXTS = (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING)
_LONGEST_VARINT = 10


class WireType(IntEnum):
    """The wire types of fields, besides the two of groups."""

    VARINT = 0
    FIXED64 = 1
    LENGTH = 2
    FIXED32 = 5


def check_items(data: bytes, kind: type[Message], limit: str, allowed: int) -> None:
    """Bounds the fields and list elements of a message.

    Args:
        data: The message.
        kind: Its type.
        limit: The name of the bound.
        allowed: The bound.

    Raises:
        LimitExceededError: there are more. Elements of packed lists are counted
            as if each took one byte.
        InvalidProgramError: the bytes can't be parsed in any case. Its reason is that of a
            request; a program has another.
    """
    if len(data) > allowed:  # else it can't hold more: each item takes a byte
        _Counter(data, limit, allowed).count(kind.DESCRIPTOR, 0, len(data))


class _Counter:
    def __init__(self, data: bytes, limit: str, allowed: int) -> None:
        self._data = data
        self._limit = limit
        self._allowed = allowed
        self._items = 0

    def count(self, descriptor: Any, position: int, end: int) -> None:
        """Counts the items between two positions."""
        while position < end:
            tag, position = self._varint(position, end)
            field = descriptor.fields_by_number.get(tag >> 3)
            self._add(1)
            match tag & 7:
                case WireType.VARINT:
                    _, position = self._varint(position, end)
                case WireType.FIXED64:
                    position += 8
                case WireType.FIXED32:
                    position += 4
                case WireType.LENGTH:
                    length, position = self._varint(position, end)
                    if position + length > end:
                        raise _malformed()
                    if field is not None and field.message_type is not None:
                        self.count(field.message_type, position, position + length)
                    elif field is not None and field.type not in _TEXTS:
                        self._add(length)
                    position += length
                case _:  # a group, which no message here uses
                    raise _malformed()

    def _add(self, items: int) -> None:
        self._items += items
        if self._items > self._allowed:
            raise exceeded(self._limit, self._allowed, self._items)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for place in range(_LONGEST_VARINT):
            if position + place >= end:
                break
            byte = self._data[position + place]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return value, position + place + 1
        raise _malformed()


def _malformed() -> InvalidProgramError:
    return InvalidProgramError(
        "the request must be a serialised message; the bytes don't parse",
        reason=Reason.ERROR_REASON_INVALID_REQUEST,
    )
