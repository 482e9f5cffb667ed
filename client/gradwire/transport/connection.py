"""Connections as callers see them: making them and entering them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy.typing as npt

from gradwire.errors import UnavailableError, UnsupportedError, VersionError
from gradwire.opset.core import OPSET_VERSION
from gradwire.tensors import Array, Dtype
from gradwire.transport.call import client_version
from gradwire.transport.credentials import TLSChoice, TokenSource, read_credentials
from gradwire.transport.grpc import Channel
from gradwire.transport.options import COMPUTE_SECONDS, Options, check_options
from gradwire.transport.scope import Scope
from gradwire.transport.stub import Exchange, Reply, Transport
from gradwire.transport.target import check_target
from gradwire.v1 import service_pb2


class Connection:
    """A server, and how it is to compute. Made by ``connect`` and ``local``; thread-safe.

    Within ``with connection:`` calls that name no connection use it; the end of
    the outermost such block closes it.

    Attributes:
        precision: How float32 matrix products are computed.
        float_dtype: What all floating values are converted to, if not None.
    """

    def __init__(self, transport: Transport, options: Options) -> None:
        self.precision: str = options.precision
        self.float_dtype: Dtype | None = options.float_dtype
        self._transport = transport
        self._exchange = Exchange(transport, options)
        self._closed = False

    @property
    def target(self) -> str:
        """The address of the server."""
        return self._transport.target

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed

    def __repr__(self) -> str:
        return f"<Connection {self.target}{' (closed)' if self._closed else ''}>"

    def __enter__(self) -> Self:
        if self._closed:
            raise UnavailableError(f"`{self.target}`: this connection is closed")
        _ENTERED.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if _ENTERED.exit(self):
            self.close()

    def close(self) -> None:
        """Ends the connection. Calls in flight fail, and later ones as well."""
        self._closed = True
        _ENTERED.forget(self)
        self._transport.close()

    def info(self) -> service_pb2.GetServerInfoResponse:
        """Returns what the server is, offers and allows.

        From then on requests are held to the ``max_message_bytes`` that it
        reports. ``connect`` and ``local`` call this once.

        Raises:
            UnavailableError: no server can be reached within 5 s.
            AuthenticationError: the server refuses this caller.
        """
        return self._exchange.info()

    def prepare(
        self, program: bytes, *, batch_sizes: Sequence[int] = (), timeout: float | None = None
    ) -> service_pb2.Plan:
        """Has a program validated and compiled.

        Args:
            program: A serialised ``Program``.
            batch_sizes: The batch sizes to compile a mapped program for now.
            timeout: Seconds for all of it; 10 min by default.

        Raises:
            GradwireError: the class says what failed.
        """
        return self._exchange.prepare(program, batch_sizes, timeout)

    def compute(
        self, program: bytes, inputs: Sequence[Array], *, timeout: float | None = None
    ) -> Reply:
        """Runs a program; prepares it first if this connection has not done so.

        Args:
            program: A serialised ``Program``.
            inputs: One array for each parameter of its entry.
            timeout: Seconds for all of it. By default those of the connection,
                and 10 min more if the program has to be compiled.

        Raises:
            GradwireError: the class says what failed.
        """
        return self._exchange.compute(program, inputs, timeout)


def connect(
    target: str,
    *,
    tls: TLSChoice = None,
    token: TokenSource = None,
    timeout: float = COMPUTE_SECONDS,
    affinity: str | None = None,
    precision: str = "highest",
    float_dtype: npt.DTypeLike | None = None,
) -> Connection:
    """Connects to a server, and checks that its version fits.

    Args:
        target: Where it listens: ``host:port`` or ``unix:/path``.
        tls: How to encrypt: a ``gradwire.TLS``; or the path of a file, in PEM,
            of the authorities that the server's certificate must come from; or
            True, for the public ones that come with gRPC. Without it nothing is
            encrypted.
        token: What the caller authenticates with; or a function that returns it,
            called at each attempt; or a ``pathlib.Path`` to a file whose first line
            it is, read again when that has changed. Without TLS it is sent only to
            this machine's own addresses, unless ``tls=False`` says that the network
            is trusted.
        timeout: Seconds that one run may take.
        affinity: Balancers send calls with the same affinity to the same server.
            By default they choose by the program.
        precision: How float32 matrix products are computed: ``highest`` (true
            float32), ``high`` or ``fast`` (TF32 on recent GPUs).
        float_dtype: Converts all floating values to this dtype.

    Returns:
        The connection: a context manager that can also be held and passed.

    Raises:
        UnavailableError: no server can be reached within 5 s.
        VersionError: the server is of a version that doesn't fit.
        AuthenticationError: the server refuses the token, or requires one.
        InvalidInputError: an argument is not as it must be.
    """
    check_target(target)
    options = check_options(
        timeout=timeout, affinity=affinity, precision=precision, float_dtype=float_dtype
    )
    connection = Connection(Channel(target, read_credentials(target, tls, token)), options)
    try:
        check_version(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def check_version(connection: Connection) -> None:
    """Checks that the server offers the opset of this client.

    Raises:
        VersionError: it doesn't.
        UnavailableError: there is no answer.
    """
    try:
        info = connection.info()
    except UnsupportedError as error:
        raise VersionError(
            f"`{connection.target}`: there is a gRPC server, but it offers no `gradwire.v1`"
        ) from error
    if OPSET_VERSION not in info.opsets:
        raise VersionError(
            f"`{connection.target}` must offer opset {OPSET_VERSION}, in which "
            f"{client_version()} writes; got gradwire {info.server_version} with "
            f"{sorted(info.opsets)}. Install the same version of gradwire on both sides"
        )


def entered_connection() -> Connection | None:
    """Returns the innermost connection that was entered in this context, or this process."""
    return _ENTERED.innermost()


_ENTERED: Scope[Connection] = Scope("gradwire_connections")
