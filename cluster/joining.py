"""Whether a Ray cluster can be joined at an address: asked in a process of its own, with a limit.

Ray itself tries a wrong address for minutes, and aborts the process that has no token.
"""

import json
import os
import re
import select
import socket
import subprocess
import sys
from typing import TypedDict

CONNECT = 4.0  # seconds until a port must accept
LOAD = 30.0  # seconds that loading Ray may take
ANSWER = 8.0  # seconds until a Ray must have answered

# Prints what it found as one JSON line; whatever Ray writes goes to standard error.
_ASK = """
import json, sys
from ray._private import services
from ray._private.authentication import authentication_token_setup as tokens
from ray._raylet import AuthenticationTokenLoader, GcsClient
from ray.exceptions import AuthenticationError

print("loaded", flush=True)
given = sys.argv[1]
if given == "auto":  # only then does Ray look for a token itself
    tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
has_token = AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True)
try:
    tokens.ensure_token_if_auth_enabled(None, create_token_if_missing=False)
    address = services.canonicalize_bootstrap_address(given)
    nodes = GcsClient(address=address).get_all_node_info(timeout=5).items()
    alive = [node.hex() for node, facts in nodes if not facts.end_time_ms]
    print(json.dumps({"alive": alive, "here": sorted(services.find_node_ids())}))
except AuthenticationError:
    print(json.dumps({"refused": True, "has_token": has_token}))
except ConnectionError:
    print(json.dumps({"none": True}))
"""
_TOKENS = "RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token"


class _Said(TypedDict, total=False):
    """What a process that talks to a cluster prints: nodes, or why there are none."""

    alive: list[str]  # ids of nodes
    here: list[str]  # of these on this machine
    refused: bool  # the token is another one
    has_token: bool
    none: bool  # no Ray runs here


def require_cluster(address: str) -> None:
    """Refuse an address at which this process could not join a Ray cluster, within 15 s.

    Args:
        address: HOST:PORT of the head, or "auto" for a Ray that runs on this machine.

    Raises:
        ValueError: No such form, nobody there, no Ray, no or another token, or this machine is no
            node of the cluster.
    """
    if address != "auto":
        _require_port(address)
    said = _asked(address)
    if said.get("none"):
        raise ValueError(
            "expected a Ray on this machine for --address auto, found none; "
            "start it with `ray start`, or leave --address out"
        )
    if said.get("refused"):
        raise ValueError(f"the Ray cluster at {address} {_about_token(said)}")
    if not set(said["alive"]) & set(said["here"]):
        raise ValueError(
            f"this machine is no node of the Ray cluster at {address} "
            f"({len(said['alive'])} nodes); add it with `ray start --address={address}`, or send "
            "the command to the cluster with `ray job submit`"
        )


def _require_port(address: str) -> None:
    if "://" in address:
        kind = "Ray Client" if address.startswith("ray://") else "a URL"
        raise ValueError(
            f"expected --address HOST:PORT of a Ray head, such as 10.0.0.5:6379, got {address} "
            f"({kind}); run scdfm on a node of the cluster, or send it there with `ray job submit`"
        )
    form = re.fullmatch(r"(?:\[(?P<six>[^]]+)\]|(?P<host>[^:\s]+)):(?P<port>\d{1,5})", address)
    if form is None:
        raise ValueError(
            f"expected --address HOST:PORT of a Ray head, such as 10.0.0.5:6379, got {address!r}; "
            "the port is 6379 unless `ray start` was told another"
        )
    host, port = form["six"] or form["host"], int(form["port"])
    try:
        socket.create_connection((host, port), timeout=CONNECT).close()
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"expected a Ray head at {address}, got no connection ({why}); check --address or "
            "RAY_ADDRESS, and that the head runs"
        ) from error


def _asked(address: str) -> _Said:
    """What a process finds that talks to the cluster as Ray does."""
    with subprocess.Popen(
        # -P: a folder of the user's may be called ray.
        [sys.executable, "-P", "-c", _ASK, address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as asking:
        assert asking.stdout is not None
        try:
            # A loaded machine may take long to load Ray; that says nothing of the cluster.
            select.select([asking.stdout], [], [], LOAD)
            line, said = asking.communicate(timeout=ANSWER)
        except subprocess.TimeoutExpired as error:
            raise ValueError(
                f"expected a Ray head at {address}, got a server that gave no answer of a Ray in "
                f"{ANSWER:g} s; check --address or RAY_ADDRESS"
            ) from error
        finally:
            asking.kill()
    last = line.strip().rpartition("\n")[2]
    if last.startswith("{"):
        found: _Said = json.loads(last)
        return found
    why = (said.strip() or "nothing").rpartition("\n")[2][:200]
    raise ValueError(
        f"expected a Ray head at {address}, got an answer that is none of a Ray ({why}); "
        "check --address or RAY_ADDRESS"
    )


def _about_token(said: _Said) -> str:
    """Why it was refused, and how to show the right token."""
    if not said["has_token"]:
        return (
            f"wants a token, and there is none here; put the cluster's into {_TOKENS}, and set "
            "RAY_AUTH_MODE=token"
        )
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return "wants a token, and none is shown; set RAY_AUTH_MODE=token (a token is here)"
    return f"does not know the token that is shown; put the cluster's into {_TOKENS}"
