"""What ships for clusters is of the versions that we test, and complete as far as one can see."""

import copy
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "cluster" / "deploy"
PINNED = dict(
    line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
)


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def of_kind(name: str, kind: str) -> dict[str, Any]:
    return next(one for one in documents(name) if one["kind"] == kind)


def clusters() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "RayJob", of_kind("kuberay.yaml", "RayJob")["spec"]["rayClusterSpec"]
    yield "RayCluster", of_kind("raycluster.yaml", "RayCluster")["spec"]


def pods(spec: dict[str, Any]) -> list[dict[str, Any]]:
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


@pytest.mark.parametrize(("kind", "spec"), list(clusters()))
def test_a_kuberay_cluster_has_what_the_operator_wants(kind: str, spec: dict[str, Any]) -> None:
    assert spec["rayVersion"] == PINNED["ray"], kind
    assert "rayStartParams" in spec["headGroupSpec"]
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["groupName"]
        assert "rayStartParams" in group


@pytest.mark.parametrize(("kind", "spec"), list(clusters()))
def test_every_node_is_not_root_has_the_token_and_a_limit(kind: str, spec: dict[str, Any]) -> None:
    for pod in pods(spec):
        assert pod["securityContext"]["runAsNonRoot"], kind
        mounted = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["resources"]["limits"] == container["resources"]["requests"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= mounted
            given = {one["name"]: one for one in container["env"]}
            assert given["RAY_AUTH_MODE"]["value"] == "token"
            assert given["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]["name"] == "ray-token"


def test_workers_of_a_job_fit_on_its_nodes() -> None:
    job = of_kind("kuberay.yaml", "RayJob")["spec"]
    words = job["entrypoint"].split()
    [group] = job["rayClusterSpec"]["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    assert int(words[words.index("--workers") + 1]) == group["replicas"]
    per_worker = int(words[words.index("--cpus-per-worker") + 1])
    assert per_worker <= int(container["resources"]["limits"]["cpu"])


def test_the_launcher_file_is_one_that_ray_takes() -> None:
    told = yaml.safe_load((DEPLOY / "launcher.yaml").read_text())
    validate_config(prepare_config(copy.deepcopy(told)))
    assert f"ray[default]=={PINNED['ray']}" in " ".join(told["setup_commands"])


def test_the_slurm_script_is_bash() -> None:
    script = DEPLOY / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed; bash -n passed")
    subprocess.run(["shellcheck", script], check=True)


def test_slurm_sends_its_signal_before_the_limit_and_to_the_script() -> None:
    told = (DEPLOY / "slurm.sh").read_text()
    signal = re.search(r"#SBATCH --signal=B:TERM@(\d+)", told)
    assert signal is not None
    assert int(signal[1]) >= 60
    assert "#SBATCH --requeue" in told
    trap = told.index("trap 'stopped=true;")
    assert trap < told.index("ray start"), "from the start on"
    assert 'kill -TERM "$train"' in told[trap:].splitlines()[0]


# Commands of a job, in place of Slurm's and ours: what they are told goes to a file.
STUBS = {
    "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"',
    "scontrol": "",
    "hostname": '[ $# -gt 0 ] && echo "127.0.0.1 ::1" || echo node1',
    "ray": 'echo "token ${#RAY_AUTH_TOKEN} $RAY_AUTH_MODE" >> "$TOLD"\nexec sleep 300',
    "scdfm": """if [ "$1" != train ]; then  # both nodes have to be there
  touch "$TOLD.waiting"
  until [ "$(grep -c ^token "$TOLD")" = 2 ]; do sleep 0.05; done
  [ "$TOLD_AT" != waiting ] || until [ -e "$TOLD.sent" ]; do sleep 0.05; done
  exit 0
fi
trap 'sleep 0.3; exit 143' TERM
touch "$TOLD.training"
[ "$TRAINS" = short ] && exit 0
while :; do sleep 0.1; done""",
}


@pytest.mark.parametrize(
    ("trains", "told_at"), [("short", None), ("long", "training"), ("long", "waiting")]
)
def test_a_slurm_job_that_is_told_to_end_goes_back_into_the_queue(
    trains: str, told_at: str | None, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    for name, body in STUBS.items():
        stub = tmp_path / "bin" / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> "$TOLD"\n{body}\n')
        stub.chmod(0o755)
    job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "2", "SLURM_CPUS_PER_TASK": "8"}
    own = {
        "TOLD": str(told),
        "TRAINS": trains,
        "TOLD_AT": told_at or "",
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    }
    script = subprocess.Popen(
        ["bash", DEPLOY / "slurm.sh", "run.yaml", "--gpu"],
        env={**os.environ, **job, **own},
        start_new_session=True,
    )
    try:
        if told_at is not None:
            deadline = time.monotonic() + 100
            while not Path(f"{told}.{told_at}").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            script.send_signal(signal.SIGTERM)  # as --signal=B: does: to the script alone
            Path(f"{told}.sent").touch()
        assert script.wait(timeout=100) == (143 if trains == "long" else 0)
    finally:
        os.killpg(script.pid, signal.SIGKILL)
    lines = told.read_text().splitlines()
    assert ("scontrol requeue 7" in lines) == (trains == "long")
    asked = "--address 127.0.0.1:20007 --workers 2 --cpus-per-worker 7 --gpu"
    # One that is told before it is there may end before it has begun.
    assert told_at == "waiting" or f"scdfm train run.yaml {asked}" in lines
    assert "token 64 token" in lines
    nodes = [line for line in lines if line.startswith("ray start")]
    assert any("--head --node-ip-address=127.0.0.1 --port=20007 --num-cpus=8" in n for n in nodes)
    assert any("--address=127.0.0.1:20007 --num-cpus=8" in one for one in nodes)


def test_the_image_installs_what_is_pinned_and_does_not_run_as_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert "USER scdfm" in lines
    assert any("-c /tmp/constraints.txt" in line for line in lines)
    version = yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text())
    images = set(re.findall(r"scdfm:([\d.]+)", json.dumps(list(version))))
    package = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert package is not None
    assert images == {package[1]}
