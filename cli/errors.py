"""Turns an exception into a line on standard error and an exit status; no other module does.

0 done, 1 failed work, 2 bad input, 130 stopped by Ctrl-C; `cli.main` adds 143 for SIGTERM.
"""

import errno
from typing import NamedTuple

import typer

from scdfm.screen.address import with_addresses
from scdfm.screen.atomic import without_draft

FAILED = 1
BAD_INPUT = 2
INTERRUPTED = 130

_WRONG_PATH = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONGEST = 1_000  # characters; some libraries put a whole log into a message


class Failure(NamedTuple):
    """The message for an exception, and its exit status."""

    line: str
    status: int


class FaultsError(RuntimeError):
    """The command worked, and found damage; the faults are printed already."""


def explain(error: BaseException) -> Failure:
    """Describe an exception in one line.

    An unexpected exception is called so, and the user is asked to report it.
    """
    error = _origin(error)
    if isinstance(error, typer.TyperException):
        return Failure(_line(_usage(error)), BAD_INPUT)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Failure("interrupted; run the command again to go on", INTERRUPTED)
    message = _line(_message(error))
    read_only = isinstance(error, OSError) and error.errno == errno.EROFS
    if isinstance(error, (ValueError, *_WRONG_PATH)) or read_only:
        return Failure(message, BAD_INPUT)
    if isinstance(error, MemoryError):
        return Failure(f"out of memory; ask for less at once ({message})", FAILED)
    if isinstance(error, RuntimeError | OSError | ArithmeticError):
        return Failure(message, FAILED)
    name = type(error).__name__
    return Failure(
        f"unexpected {name}: {message}; please report it with the output of scdfm --debug", FAILED
    )


def _origin(error: BaseException) -> BaseException:
    """The exception inside those that Ray wraps around what a worker raised."""
    cause = getattr(error, "cause", None)  # ray.exceptions.RayTaskError
    failures = getattr(error, "worker_failures", None)  # ray.train's WorkerGroupError
    if isinstance(failures, dict) and failures:
        cause = next(iter(failures.values()))
    return _origin(cause) if isinstance(cause, BaseException) else error


def _usage(error: typer.TyperException) -> str:
    """The parser's message, and where the options are listed."""
    context = getattr(error, "ctx", None)
    where = f"; see {context.command_path} --help" if context is not None else ""
    # Pydantic's own words, where an option is read by a model.
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    message = message.replace("Input should be", "must be")
    return f"{message[:1].lower()}{message[1:]}{where}"


def _message(error: BaseException) -> str:
    faults = getattr(error, "errors", None)
    if isinstance(error, ValueError) and callable(faults):
        return _fault_of_option(faults()[0])
    if isinstance(error, OSError) and error.strerror:
        place = without_draft(str(error.filename)) if error.filename else ""
        if error.errno == errno.EROFS:
            return f"cannot write {place or 'there'}: its disk is read-only; name another place"
        remedy = "; free some space and run again" if error.errno in _FULL else ""
        return (f"{place}: {error.strerror}" if place else error.strerror) + remedy
    return str(error) or type(error).__name__


def _fault_of_option(fault: dict[str, object]) -> str:
    """What pydantic found wrong with a value that came from the command line."""
    location = fault["loc"]
    assert isinstance(location, tuple)
    message = str(fault["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    if not location:
        return message
    option = str(location[0]).replace("_", "-")
    got = "" if ", got " in message else f", got {fault['input']!r}"
    return f"--{option}: {message}{got}"


def _line(text: str) -> str:
    text = with_addresses(" ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ... (scdfm --debug shows all)"
