"""What goes wrong on the way to a server: what may pass, and how it is told.

Drivers of object stores have errors of their own, which are no OSError, and texts of their own.
"""

import os
import sys

_DRIVERS = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
_BUSY = (408, 429)  # timeout, too many requests
# By the name of the exception, since a driver is loaded only where it is used.
_TOLD = {
    "NoCredentialsError": "no credentials were found here",
    "PartialCredentialsError": "the credentials here are incomplete",
    "ProfileNotFound": "the profile of AWS_PROFILE is not known here",
    "EndpointConnectionError": "no connection",
    "ClientConnectorError": "no connection",
    "ConnectionRefusedError": "no connection",
    "ClientConnectorDNSError": "its name is not known",
    "ConnectTimeoutError": "no answer in time",
    "ReadTimeoutError": "no answer in time",
    "ConnectionClosedError": "the connection broke",
    "HTTPClientError": "the connection broke",
}
_FOR_EVER = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")


def network_errors() -> tuple[type[Exception], ...]:
    """What a driver raises where a server cannot be reached, or refuses."""
    # Imported when there is an error: a store on this machine needs no http.
    from aiohttp import ClientError

    botocore = sys.modules.get("botocore.exceptions")
    return OSError, ClientError, *((botocore.BotoCoreError,) if botocore else ())


def may_pass(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    status = _status(error)
    if status:
        return status >= 500 or status in _BUSY
    return not (isinstance(error, PermissionError) or type(error).__name__ in _FOR_EVER)


def network_reason(error: Exception) -> str:
    """Why a server could not be reached, or what it refused, in a few words."""
    told = next((_TOLD[kind.__name__] for kind in type(error).mro() if kind.__name__ in _TOLD), "")
    status = _status(error)
    if isinstance(error, PermissionError):
        return "access is denied"
    if status and not told:
        return f"it answered with status {status}"
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket or file"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if told:
        return told
    if isinstance(error, ConnectionError):
        return "the connection broke"
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else f"its driver says {type(error).__name__}"


def no_driver(url: str, error: ImportError) -> str:
    """What to tell a user who has no driver for this URL."""
    scheme = url.partition("://")[0]
    missing = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    driver = _DRIVERS.get(scheme) or missing.name
    remedy = f"; pip install {driver}" if driver else ""
    return f"expected the driver that reads {scheme}:// URLs, got none installed{remedy}"


def _status(error: Exception) -> int | None:
    """Of HTTP, where a server answered."""
    status = getattr(error, "status", None)  # of aiohttp
    if status is None:
        cause = getattr(error, "__cause__", None)  # of botocore, below what s3fs raises
        answer = getattr(cause, "response", None)
        facts = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
        status = facts.get("HTTPStatusCode")
    return status if isinstance(status, int) else None
