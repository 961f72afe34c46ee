"""A Ray cluster of two nodes on this machine, for drivers in processes of their own.

Run as a program: prints the address; a line `remove` on standard input kills the second node,
`add` starts another; the end of the input ends all.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

HEAD, SECOND = 1, 2  # CPUs


def main() -> None:
    """Start the cluster and obey."""
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="two", dir="/tmp")
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": HEAD,
            "include_dashboard": False,
            "object_store_memory": 100 * 2**20,
            "temp_dir": folder,
        },
    )

    def add() -> Any:
        return cluster.add_node(num_cpus=SECOND, object_store_memory=100 * 2**20)

    second = add()
    print(cluster.address, flush=True)  # noqa: T201
    for line in sys.stdin:
        if line.strip() == "remove":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = add()
        print("done", flush=True)  # noqa: T201
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


class Two:
    """The program, seen from a test."""

    def __init__(self) -> None:
        # A local Ray of the tests' process has its own, which a second one must not share.
        own = {name: os.environ[name] for name in os.environ if not name.startswith("RAY_")}
        own.pop("TMPDIR", None)
        self.environment = {
            **own,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "f" * 64,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        with tempfile.TemporaryFile("w+") as said:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=self.environment,
                text=True,
            )
            assert self.process.stdout is not None
            self.address = self.process.stdout.readline().strip()
            said.seek(0)
            assert self.address, said.read()

    def tell(self, word: str) -> None:
        """Add or remove the second node."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self) -> None:
        """Kill both nodes."""
        self.process.communicate(timeout=200)


if __name__ == "__main__":
    main()
