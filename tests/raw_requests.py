"""HTTP/2 written by hand: requests that no gRPC client sends, such as half of one."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Self

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING = 0, 1, 3, 4, 6
_END_STREAM = _ACK = 1
_END_HEADERS = 4
_FRAME_HEADER_BYTES = 9
_FRAME_BYTES = 16_384


class RawConnection:
    """A connection that sends parts of requests. It heeds no window, so send little.

    Attributes:
        ended: For each request that has ended its trailers, as HPACK writes them, or
            nothing if it was reset.
        lost: Whether the other side has closed it.
    """

    def __init__(self, address: str, source: str = "127.0.0.1") -> None:
        """Connects to HOST:PORT, from this address."""
        host, _, port = address.rpartition(":")
        self.ended: dict[int, bytes] = {}
        self.lost = False
        self._next = 1
        self._sending = threading.Lock()
        self._socket = socket.create_connection((host, int(port)), 10, (source, 0))
        self._socket.settimeout(None)
        self._send(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._reader.join()

    def begin(self, path: str, body: bytes = b"", **headers: str) -> int:
        """Begins a request, sends a part of its body, and returns its number."""
        number, self._next = self._next, self._next + 2
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "test",
            "te": "trailers",
            "content-type": "application/grpc",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        block = b"".join(_literal(name) + _literal(value, b"") for name, value in fields.items())
        self._send(_frame(_HEADERS, _END_HEADERS, number, block))
        self.go_on(number, body)
        return number

    def go_on(self, number: int, body: bytes, *, end: bool = False) -> None:
        """Sends more of a request's body."""
        parts = [body[at : at + _FRAME_BYTES] for at in range(0, len(body), _FRAME_BYTES)]
        for part in parts:
            self._send(_frame(_DATA, 0, number, part))
        if end:
            self._send(_frame(_DATA, _END_STREAM, number, b""))

    def _send(self, frames: bytes) -> None:
        with self._sending:
            self._socket.sendall(frames)

    def _read(self) -> None:
        pending = b""
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65_536):
                pending += data
                while len(pending) >= _FRAME_HEADER_BYTES:
                    end = _FRAME_HEADER_BYTES + int.from_bytes(pending[:3], "big")
                    if len(pending) < end:
                        break
                    self._take(pending[:_FRAME_HEADER_BYTES], pending[_FRAME_HEADER_BYTES:end])
                    pending = pending[end:]
        self.lost = True

    def _take(self, header: bytes, payload: bytes) -> None:
        kind, flags, number = struct.unpack(">BBI", header[3:])
        if kind in (_SETTINGS, _PING) and not flags & _ACK:
            answer = payload if kind == _PING else b""
            self._send(_frame(kind, _ACK, 0, answer))
        elif kind == _HEADERS and flags & _END_STREAM:
            self.ended[number] = payload
        elif kind == _RST_STREAM:
            self.ended.setdefault(number, b"")


def grpc_message(data: bytes, *, compressed: bool = False) -> bytes:
    """A message as gRPC frames it."""
    return struct.pack(">BI", compressed, len(data)) + data


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, number) + payload


def _literal(text: str, prefix: bytes = b"\0") -> bytes:
    """A short string in HPACK, without Huffman's code; a name after the mark of a new field."""
    data = text.encode()
    assert len(data) < 127  # a longer length takes several bytes
    return prefix + bytes([len(data)]) + data
