"""A wrong address, or a token that is missing or wrong, is one line within seconds."""

import socket
import time
from pathlib import Path

import pytest

from cluster import joining
from cluster.joining import require_cluster


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("ray://10.0.0.5:10001", r"HOST:PORT .*Ray Client.*ray job submit"),
        ("http://10.0.0.5:8265", r"HOST:PORT .*a URL"),
        ("10.0.0.5", r"got '10.0.0.5'; the port is 6379"),
        ("here and there", "HOST:PORT"),
        ("no-such-host.invalid:6379", r"got no connection \(.*--address or RAY_ADDRESS"),
    ],
)
def test_an_address_of_another_form_is_refused(address: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        require_cluster(address)
    assert "\n" not in str(refused.value)


def test_a_closed_port_and_a_server_that_is_no_ray_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(joining, "ANSWER", 1.0)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ValueError, match="gave no answer of a Ray in 1 s"):
            require_cluster(address)
    assert time.monotonic() - began < 60 + joining.LOAD  # Ray itself would try for minutes
    with socket.socket() as closed:  # nobody else has its port, and nobody listens
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="got no connection"):
            require_cluster(f"127.0.0.1:{closed.getsockname()[1]}")


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_cluster_is_joined_with_its_token_only(
    ray_session: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import ray

    monkeypatch.setattr(joining, "ANSWER", 60.0)
    address = ray.get_runtime_context().gcs_address
    require_cluster(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with pytest.raises(ValueError, match="does not know the token that is shown"):
        require_cluster(address)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    with pytest.raises(ValueError, match="there is none here; put the cluster's into RAY_AUTH_T"):
        require_cluster(address)
