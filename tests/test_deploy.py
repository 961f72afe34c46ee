"""What ships for clusters is of the versions that we test, and complete as far as one can see."""

import copy
import json
import re
import shutil
import subprocess
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
    assert "trap 'stopped=true; kill -TERM \"$train\"' TERM" in told


def test_the_image_installs_what_is_pinned_and_does_not_run_as_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert "USER scdfm" in lines
    assert any("-c /tmp/constraints.txt" in line for line in lines)
    version = yaml.safe_load_all((DEPLOY / "kuberay.yaml").read_text())
    images = set(re.findall(r"scdfm:([\d.]+)", json.dumps(list(version))))
    package = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert package is not None
    assert images == {package[1]}
