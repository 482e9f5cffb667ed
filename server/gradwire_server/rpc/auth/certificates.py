"""The server's certificate, and the authorities of its clients' certificates."""

from __future__ import annotations

import grpc

from gradwire.credential_files import read_certificates, read_key
from gradwire_server.config.settings import Settings
from gradwire_server.rpc.auth.permissions import warn_if_public
from gradwire_server.rpc.auth.renewal import Renewed


class ServerCertificates:
    """The certificates that the settings name, read again after their files have changed."""

    def __init__(self, settings: Settings) -> None:
        """Reads the files.

        Raises:
            CredentialFileError: one can't be used.
        """
        self._settings = settings
        files = [settings.tls_cert, settings.tls_key, settings.tls_client_ca]
        self._renewed = Renewed([path for path in files if path], self._read)

    def credentials(self) -> grpc.ServerCredentials:
        """Returns the credentials of an encrypted port."""
        # gRPC asks at each new connection; open connections keep their certificates.
        return grpc.dynamic_ssl_server_credentials(
            self._renewed.get(),
            self._renewed.get,
            require_client_authentication=bool(self._settings.tls_client_ca),
        )

    def _read(self) -> grpc.ServerCertificateConfiguration:
        cert, key = self._settings.tls_cert, self._settings.tls_key
        client_ca = self._settings.tls_client_ca
        chain = read_certificates("tls_cert", cert)
        secret = read_key("tls_key", key, "tls_cert", cert)
        authorities = read_certificates("tls_client_ca", client_ca) if client_ca else None
        warn_if_public("tls_key", key)
        return grpc.ssl_server_certificate_configuration([(secret, chain)], authorities)
