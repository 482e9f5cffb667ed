"""Authorities and certificates for tests, made anew each time."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Pair:
    """The files of a certificate and its key."""

    cert: str
    key: str

    @property
    def contents(self) -> tuple[bytes, bytes]:
        """The key and the chain, in gRPC's order."""
        return Path(self.key).read_bytes(), Path(self.cert).read_bytes()


class Authority:
    """Who signs certificates; its own is in the file ``ca``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder / name
        self._folder.mkdir()
        self._authority = trustme.CA()
        self.ca = str(self._folder / "ca.pem")
        self._authority.cert_pem.write_to_path(self.ca)

    @property
    def contents(self) -> bytes:
        """The authority's certificate."""
        return Path(self.ca).read_bytes()

    def issue(self, *names: str, expired: bool = False) -> Pair:
        """Signs a certificate for host names, addresses or mail addresses."""
        times = {}
        if expired:
            times["not_before"] = datetime.datetime(2020, 1, 1)
            times["not_after"] = datetime.datetime(2021, 1, 1)
        issued = self._authority.issue_cert(*names, **times)
        folder = self._folder / f"{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        pair = Pair(str(folder / "cert.pem"), str(folder / "key.pem"))
        for blob in issued.cert_chain_pems:
            blob.write_to_path(pair.cert, append=True)
        issued.private_key_pem.write_to_path(pair.key)
        Path(pair.key).chmod(0o600)
        return pair
