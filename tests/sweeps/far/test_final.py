"""Test scores of a sweep in an object store: those of one on a disk, and found again."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.report.page import Figure
from cluster.runs.directory import RunDirectory
from cluster.storage.mirror import mirror_of
from cluster.storage.reading import fetched
from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.objective import run_trial
from sweeps.proposals.cells import check_data
from sweeps.report import report
from sweeps.space import trial_key
from sweeps.winners.concluded import conclude
from sweeps.winners.testing import Job, score_split


def one_split(sweep: SweepConfig, **changes: Any) -> SweepConfig:
    values = sweep.model_dump(mode="json", exclude_unset=True)
    own = {"splits": sweep.splits[:1], "reuse": False, **changes}
    return SweepConfig.model_validate(values | own)


@pytest.mark.slow
def test_a_retrained_model_and_its_scores_are_kept_in_the_store_and_found_elsewhere(
    tiny_sweep: SweepConfig,
    bucket: str,
    caplog: pytest.LogCaptureFixture,
    another_process: Callable[[], None],
) -> None:
    caplog.set_level(logging.INFO, logger="cluster.work.evaluate")
    near = one_split(tiny_sweep, final={"retrain": True})
    far = one_split(near, output=f"{bucket}/runs")
    tried, fingerprint = near.baseline, check_data(near)
    for sweep in (near, far):
        told: list[Any] = []
        run_trial(tried, sweep=sweep, report=told.append)
    job = Job(1, 0, tried, trial_key(near, tried))
    scored = score_split(job, sweep=near, fingerprint=fingerprint).model_dump_json()
    assert '"retrained":true' in scored
    assert score_split(job, sweep=far, fingerprint=fingerprint).model_dump_json() == scored

    place = f"{bucket}/runs/tiny/final/{job.key}/split-0"
    weights = (job.again(near).model or Path()) / "model.safetensors"
    assert (job.again(far).path / "model/model.safetensors").read_bytes() == weights.read_bytes()
    names = mirror_of(place).names()
    assert {"result.json", "evaluation/evaluation.json"} <= {*names}
    assert not any(name.startswith("checkpoints/") for name in names)
    with SweepDirectory(far.directory).held():
        pass
    assert not any(n.startswith("final/") for n in mirror_of(f"{bucket}/runs/tiny").names())

    here = far.directory
    another_process()
    assert far.directory != here
    caplog.clear()
    assert score_split(job, sweep=far, fingerprint=fingerprint).model_dump_json() == scored
    assert "evaluated on " in caplog.text
    assert RunDirectory(job.again(far).path).times.sessions == 1


@pytest.mark.slow
def test_a_report_finds_the_scores_and_the_curves_of_the_winner_elsewhere(
    tiny_sweep: SweepConfig,
    bucket: str,
    caplog: pytest.LogCaptureFixture,
    another_process: Callable[[], None],
) -> None:
    caplog.set_level(logging.INFO, logger="cluster.report.judged")
    sweep = one_split(tiny_sweep, output=f"{bucket}/runs", final={})
    told: list[Any] = []
    run_trial(sweep.baseline, sweep=sweep, report=told.append)
    fingerprint, key = check_data(sweep), trial_key(sweep, sweep.baseline)
    score_split(Job(1, 0, sweep.baseline, key), sweep=sweep, fingerprint=fingerprint)
    directory = SweepDirectory(sweep.directory)
    with directory.held():
        directory.lock.take(sweep, fingerprint=fingerprint, begun=False)
        begun = {"configuration": sweep.baseline, "number": 1, "baseline": True}
        for event in (
            {"event": "start", "trial": key, **begun},
            {"event": "split", "trial": key, "split": 0, "value": 0.5},
            {"event": "complete", "trial": key, "seconds": 1.0},
        ):
            directory.ledger.write(event)
        conclude(sweep, directory.ledger)

    another_process()
    place = fetched(f"{bucket}/runs/tiny")
    assert not (place / "trials").exists()
    page = report([place])
    assert "no evaluation" not in caplog.text
    found = [block for part in page.parts for one in part.sections for block in one.blocks]
    drawn = {block.name for block in found if isinstance(block, Figure)}
    assert {"loss", "validation"} <= drawn
