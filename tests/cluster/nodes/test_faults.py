"""What would break training on a machine is found, and comes with a remedy."""

import subprocess
import sys
from pathlib import Path

import pytest

from cluster.nodes.examine import Needs, examine_here
from cluster.nodes.facts import NodeFacts, facts_of_this_machine
from cluster.nodes.faults import Fault, faults_of
from cluster.nodes.preflight import check_here
from cluster.nodes.storage import nonce


@pytest.fixture(scope="module")
def here() -> NodeFacts:
    """This machine, with room: what a container has, and others leave, is no fact of ours."""
    room = {"memory_free": 2**33, "shared_memory": 2**30, "temporary_free": 2**33}
    return facts_of_this_machine(gpus=False).model_copy(update=room)


def found(facts: NodeFacts, here: NodeFacts, **asked: float) -> list[Fault]:
    return list(faults_of("n1", facts, like=here, gpu=bool(asked.pop("gpu", 0)), **asked))  # type: ignore[arg-type]


def test_this_machine_could_train() -> None:
    here = facts_of_this_machine(gpus=False)
    assert [fault for fault in found(here, here) if fault.breaks] == []
    assert here.memory >= here.memory_free > 0
    assert set(here.versions) == {"python", "scdfm", "ray", "torch"}
    assert all(here.versions.values())


@pytest.mark.parametrize(
    ("change", "asked", "said"),
    [
        ({"versions": {"ray": "2.9.0"}}, {}, r"ray is 2\.9\.0, and .* on the driver; install ray"),
        ({"versions": {"torch": ""}}, {}, r"torch is not installed, .* install torch"),
        ({"versions": {"python": "3.99.1"}}, {}, r"python is 3\.99\.1"),
        ({"elsewhere": {"sweeps": "/home/me/sweeps"}}, {}, "Python finds sweeps in /home/me/sweep"),
        (
            {"owners": {"cli": ("other",)}, "elsewhere": {"cli": "/x"}},
            {},
            "other owns a package called cli, too; install scdfm into an environment without it",
        ),
        ({"cuda": None}, {"gpu": 1}, r"has no CUDA, and GPUs are asked for; .* or leave --gpu out"),
        ({"cuda": "12.8", "gpu_fault": "no driver"}, {"gpu": 1}, r"finds no GPU \(no driver\)"),
        ({"memory_free": 700 * 2**20}, {"workers": 2}, "700 MB of memory are free, and 2 workers"),
        ({"temporary_free": None}, {}, "nothing can be written to .*; set TMPDIR"),
        ({"temporary_free": 2**20}, {}, "has 1 MB free"),
        ({}, {"skew": -3_600.0}, "its clock is 3600 s behind the driver's; let NTP or chrony"),
    ],
)
def test_a_fault_is_one_line_with_a_remedy(
    change: dict[str, object], asked: dict[str, float], said: str, here: NodeFacts
) -> None:
    versions = {**here.versions, **change.pop("versions", {})}  # type: ignore[dict-item]
    node = here.model_copy(update={**change, "versions": versions})
    [fault] = found(node, here, **asked)
    assert fault.breaks
    with pytest.raises(ValueError, match=said):
        raise ValueError(fault.line)
    assert "\n" not in fault.line


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        ({"shared_memory": 64 * 2**20}, {}),
        ({"owners": {"sweeps": ("other",)}}, {}),
        ({}, {"skew": 5.0}),
    ],
)
def test_what_only_may_hurt_is_a_warning(
    change: dict[str, object], asked: dict[str, float], here: NodeFacts
) -> None:
    [fault] = found(here.model_copy(update=change), here, **asked)
    assert not fault.breaks


def test_another_patch_of_python_is_no_fault(here: NodeFacts) -> None:
    minor = ".".join(here.versions["python"].split(".")[:2])
    node = here.model_copy(update={"versions": {**here.versions, "python": f"{minor}.99"}})
    assert found(node, here) == []


def test_a_folder_that_another_machine_does_not_see_is_told_apart(tmp_path: Path) -> None:
    shared, other = tmp_path / "a" / "runs", tmp_path / "other"
    with nonce(shared) as word:
        assert word.seen("n1") is None
        assert word.answered("n1")
        assert not word.answered("n2")
        elsewhere = word._replace(place=str(other))  # the same path on a machine with its own disk
        assert elsewhere.seen("n3") == "what the driver writes there is not seen"
    assert list(tmp_path.iterdir()) == [], "something was left"


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    needs = Needs(outputs=(tmp_path / "file" / "runs",))
    with pytest.raises(ValueError, match=r"cannot write to .*runs \(Not a directory\); name anoth"):
        check_here(needs, address=None)
    assert not examine_here(needs).fit
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_gpu_is_refused_before_ray_starts_where_torch_has_no_cuda(
    tmp_path: Path, here: NodeFacts
) -> None:
    if here.cuda is not None:
        pytest.skip("torch here has CUDA")
    # In a process of its own: where a test has started Ray, nothing starts here any more.
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pathlib import Path; import sys\n"
            "from cluster.nodes.examine import Needs\n"
            "from cluster.nodes.preflight import check_here\n"
            "check_here(Needs(outputs=(Path(sys.argv[1]),), gpu=True), address='local')",
            tmp_path / "runs",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "has no CUDA, and GPUs are asked for" in told.stderr.splitlines()[-1]
