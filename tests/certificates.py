"""Certificates for tests, made by the program `openssl`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NEW_KEY: Final = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Certificate:
    """PEM files of a certificate and its key."""

    certfile: Path
    keyfile: Path


def openssl(*arguments: str | Path) -> None:
    """Run it to its end. Raises `CalledProcessError`."""
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def make_authority(folder: Path) -> Certificate:
    """An authority that signs others."""
    made = Certificate(folder / "authority.pem", folder / "authority.key")
    openssl(
        "req",
        "-x509",
        *_NEW_KEY,
        "-keyout",
        made.keyfile,
        "-out",
        made.certfile,
        "-days",
        "2",
        "-subj",
        "/CN=test",
    )
    return made


def make_certificate(
    authority: Certificate, name: str, *, addresses: str = "DNS:localhost,IP:127.0.0.1", days: int = 2
) -> Certificate:
    """A certificate for these addresses, beside its authority. With `days` -1 it has expired."""
    folder = authority.certfile.parent
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={addresses}\n")
    openssl("req", "-new", *_NEW_KEY, "-keyout", made.keyfile, "-out", request, "-subj", f"/CN={name}")
    openssl(
        *("x509", "-req", "-in", request, "-CA", authority.certfile, "-CAkey", authority.keyfile),
        *("-CAcreateserial", "-extfile", extensions, "-days", str(days), "-out", made.certfile),
    )
    return made
