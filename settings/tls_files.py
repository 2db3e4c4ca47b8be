"""Certificate and key of the API: usable, or refused at start in one line.

Only the programs that serve or start the API check the files. A worker needs neither.
"""

from __future__ import annotations

import ssl
import sys
from pathlib import Path
from typing import Final

from settings.fields import Settings

PKCS8: Final = "-----BEGIN PRIVATE KEY-----"


def refuse_unusable_tls(settings: Settings) -> None:
    """Exit with 2 and a line for each problem with the files of the API's certificate. Reads both files."""
    problems = tls_problems(settings.tls_certfile, settings.tls_keyfile) if settings.tls_certfile else []
    for problem in problems:
        sys.stderr.write(f"Wrong setting: {problem}\n")
    if problems:
        raise SystemExit(2)


def trusting(certfile: str) -> ssl.SSLContext:
    """Return the context of a client on this machine that trusts this certificate and no other.

    The name is not compared: it is not that of the loopback address. Raises `OSError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # The certificate itself is the authority, also where another one has signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cafile=certfile)
    return context


def tls_problems(certfile: str, keyfile: str) -> list[str]:
    """Return one line for each reason why a server cannot use these files."""
    problems = [
        f"{name}: {file} cannot be read: {error}"
        for name, file in (("TLS_CERTFILE", certfile), ("TLS_KEYFILE", keyfile))
        if (error := _unreadable(file))
    ]
    if problems:
        return problems
    key = Path(keyfile).read_text(encoding="ascii", errors="replace")
    as_pkcs8 = f"openssl pkcs8 -topk8 -nocrypt -in {keyfile} -out NEW_KEYFILE"
    if "ENCRYPTED" in key:
        return [f"TLS_KEYFILE: {keyfile} is encrypted, and no process can ask for its password: {as_pkcs8}"]
    if PKCS8 not in key:
        return [f"TLS_KEYFILE: {keyfile} must be a PEM key in PKCS#8: {as_pkcs8}"]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(certfile, keyfile)
        client = trusting(certfile)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"TLS_KEYFILE: {keyfile} is not the key of {certfile}"]
        return [f"TLS_CERTFILE: {certfile} and {keyfile} cannot be used: {error.reason or error}"]
    try:
        _shake_hands(server, client)
    except ssl.SSLCertVerificationError as error:
        return [f"TLS_CERTFILE: {certfile}: {error.verify_message}"]
    return []


def _unreadable(file: str) -> str:
    try:
        Path(file).read_bytes()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Let a client judge the certificate, its dates too, in memory. Raises `SSLCertVerificationError`."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
