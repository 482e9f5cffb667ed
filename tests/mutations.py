"""Bytes gone wrong, in the same way each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF)


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Yields ``count`` damaged copies of ``data``.

    Each has one to four of: a bit flipped, a byte set, bytes removed, a piece
    repeated, a piece moved, random bytes put in, the end cut off.
    """
    random = Random(seed)
    for _ in range(count):
        changed = bytearray(data)
        for _ in range(random.randint(1, 4)):
            _mutate(changed, random)
        yield bytes(changed)


def _mutate(data: bytearray, random: Random) -> None:
    at = random.randrange(len(data) + 1)
    end = min(len(data), at + random.randint(1, 8))
    match random.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << random.randrange(8)
        case 1 if at < len(data):
            data[at] = random.choice(_NUMBERS)
        case 2:
            del data[at:end]
        case 3:
            data[at:at] = data[at:end] * random.randint(1, 50)
        case 4:
            piece = data[at:end]
            del data[at:end]
            place = random.randrange(len(data) + 1)
            data[place:place] = piece
        case 5:
            data[at:at] = random.randbytes(random.randint(1, 10))
        case 6 if random.random() < 0.2:
            del data[at:]


def message_mutations(
    data: bytes, kind: type[Message], words: Sequence[str], count: int, seed: int
) -> Iterator[bytes]:
    """Yields ``count`` copies with one to three fields changed, as the types of these allow.

    Args:
        data: A message; bytes that are none yield nothing.
        kind: Its type.
        words: What texts are replaced by, beside those in the message.
        count: How many to yield.
        seed: They follow from it.
    """
    random = Random(seed)
    for _ in range(count):
        message = kind()
        try:
            message.ParseFromString(data)
        except DecodeError:
            return
        for _ in range(random.randint(1, 3)):
            _change(message, words, random)
        yield message.SerializeToString()


def _change(message: Message, words: Sequence[str], random: Random) -> None:
    """Changes one field, somewhere in the message."""
    fields = list(_fields(message))
    if not fields:
        return
    owner, field = random.choice(fields)
    value = getattr(owner, field.name)
    if _is_repeated(value):
        at = random.randrange(len(value))
        match random.randrange(4):
            case 0:
                del value[at]
            case 1:
                value.extend([value[at]] * random.choice([1, 1, 3, 50]))
            case 2 if field.type == field.TYPE_MESSAGE:
                value[at].CopyFrom(random.choice(value))
            case _ if field.type != field.TYPE_MESSAGE:
                value[at] = _other(field, value[at], words, random)
    elif field.type == field.TYPE_MESSAGE:
        others = [getattr(o, f.name) for o, f in fields if f is field]
        copy = type(value)()
        copy.CopyFrom(random.choice(others))
        value.CopyFrom(copy)
    else:
        setattr(owner, field.name, _other(field, value, words, random))


def _fields(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    for field, value in message.ListFields():
        yield message, field
        if field.type == field.TYPE_MESSAGE:
            for part in value if _is_repeated(value) else [value]:
                yield from _fields(part)


def _is_repeated(value: Any) -> bool:
    return hasattr(value, "extend")  # descriptors say it under names that change


def _other(field: FieldDescriptor, value: Any, words: Sequence[str], random: Random) -> Any:
    match field.cpp_type:
        case field.CPPTYPE_STRING if field.type == field.TYPE_BYTES:
            return next(mutations(value, 1, random.randrange(2**32)))
        case field.CPPTYPE_STRING:
            return random.choice(words)
        case field.CPPTYPE_BOOL:
            return not value
        case field.CPPTYPE_DOUBLE | field.CPPTYPE_FLOAT:
            return random.choice([0.0, -1.0, 0.5, 1e300, float("inf"), float("nan")])
        case field.CPPTYPE_ENUM:
            return random.choice(field.enum_type.values).number
        case field.CPPTYPE_UINT32 | field.CPPTYPE_UINT64:
            bits = 32 if field.cpp_type == field.CPPTYPE_UINT32 else 64
            return random.choice([0, 1, 2, 3, value + 1, 2**31 - 1, 2**bits - 1]) % 2**bits
        case field.CPPTYPE_INT32:
            return random.choice([0, 1, 2, -1, 2**31 - 1, -(2**31)])
        case _:
            return random.choice([0, 1, 2, 3, -1, 100, 2**20, 2**31, 2**40, 2**63 - 1, -(2**63)])
