"""Messages about failed calls, for the user of the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from evzone_ml_client import RequestRejected, Retry, ServiceUnavailable
from evzone_ml_client.command.outcome import Refused

# A broken upload can still become a job for this long. After that its web process has died.
ACCEPTING_S: Final = 30.0
CONFLICT: Final = 409
UNAUTHORIZED: Final = 401


class Outages:
    """Callback for failed attempts. Prints one line for each call, and ends calls that cannot succeed."""

    def __init__(self, url: str, patience_s: float, print_line: Callable[[str], None]) -> None:
        self._url = url
        self._patience_s = patience_s
        self._print_line = print_line

    def __call__(self, retry: Retry) -> None:
        """Handle a failed attempt.

        Raises `Refused` if another program answers at the URL. Raises the 409 error if the earlier upload can
        no longer become a job.
        """
        error = retry.error
        if isinstance(error, ServiceUnavailable) and error.reason == "not_understood" and error.status:
            raise Refused(_sentence(error.detail))
        if error.status == CONFLICT and retry.elapsed_s > ACCEPTING_S:
            raise error
        if retry.attempt == 1:
            self._print_line(f"{outage(error, self._url)}; retrying for up to {self._patience_s:g} s")


def outage(error: RequestRejected | ServiceUnavailable, url: str) -> str:
    """Return the reason for a missing answer, as the start of a sentence."""
    if error.status == CONFLICT:
        return "an earlier upload is still being accepted"
    if error.status is None:
        return f"{url} cannot be reached{_through_proxy(url)} ({error.detail})"
    said = error.detail.rstrip(".")
    return f"the service answers {said}" if said.startswith(str(error.status)) else said


def _through_proxy(url: str) -> str:
    """Name the proxy that the environment sets for `url`, and how to go around it. Without its password."""
    target = urlsplit(url)
    host = target.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(host):
        return ""
    return f" through the proxy {proxy.rpartition('@')[2]}; to go around it, set NO_PROXY={host}"


def refusal(error: RequestRejected) -> Refused:
    """Return the error for a refused request, with its field errors, or else the detail."""
    if error.problem is None:
        return Refused(_sentence(error.detail))
    errors = [f"{each['pointer'] or 'body'}: {each['detail']}" for each in error.errors]
    said = "\n  ".join(errors if len(errors) < 2 else ["", *errors]) or error.detail
    if error.status == UNAUTHORIZED:
        said += " It is taken from ML_SERVICE_API_KEY (environment or .env)."
    return Refused(f"The service answers {error.status}: {said}")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
