"""A name server on loopback, whose entries a test changes as a cluster's DNS does."""

from __future__ import annotations

import socketserver
import threading
from types import TracebackType
from typing import Self

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class Names:
    """Answers for IPv4 addresses by name; what has none doesn't exist."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        names = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, socket = self.request
                socket.sendto(names.answer(data), self.client_address)

        self._server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, data: bytes) -> bytes:
        """The answer to one question."""
        response = dns.message.make_response(dns.message.from_wire(data))
        response.flags |= dns.flags.AA
        (question,) = response.question
        address = self.addresses.get(question.name.to_text(omit_final_dot=True).lower())
        if address is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            response.answer.append(dns.rrset.from_text(question.name, 1, "IN", "A", address))
        return response.to_wire()
