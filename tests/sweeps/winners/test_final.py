"""Test scores at the end: once, apart from the choice, which test cells cannot change."""

import json
from pathlib import Path
from time import time
from typing import Any

import anndata
import numpy as np
import pytest

from cluster.runs.directory import RunDirectory
from cluster.runs.stop import StoppedError
from cluster.session import fits
from cluster.work.folds.facts import folds_note
from data_store.ingest.write import IngestOptions, ingest
from scdfm.flow.files import WEIGHTS
from scdfm.splits import Split
from sweeps import SweepConfig, door
from sweeps.directory import SweepDirectory
from sweeps.ledger import Event, Trial
from sweeps.objective import run_trial
from sweeps.proposals.cells import check_data
from sweeps.results import chosen, leaderboard
from sweeps.schema.files import make_sweep
from sweeps.space import split_run, trial_key
from sweeps.study import tune
from sweeps.watching.now import now
from sweeps.winners.final import _changed, _Wanted, concluded, final_due
from sweeps.winners.records import FinalTrial, final
from sweeps.winners.testing import Job, Retrained, _testers, score_split


@pytest.fixture
def sweep(
    tiny: dict[str, Any], tiny_store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SweepConfig:
    monkeypatch.chdir(tmp_path)
    return sweep_on(tiny, tiny_store_path)


def sweep_on(tiny: dict[str, Any], store: Path) -> SweepConfig:
    base = {**tiny["base"], "store": str(store)}
    values = {**tiny, "name": store.stem, "base": base, "splits": [{"kind": "additive"}]}
    return make_sweep({**values, "final": {"retrain": True}, "reuse": False}, where="sweep")


def trained(sweep: SweepConfig, width: int) -> Trial:
    """A trial of the search, trained here."""
    tried = {**sweep.baseline, "model.width": width}
    told: list[Any] = []
    run_trial(tried, sweep=sweep, report=told.append)
    key = trial_key(sweep, tried)
    return Trial(
        key, width, tried, baseline=tried == sweep.baseline, state="complete",
        values={0: told[-1]["score"]},
    )  # fmt: skip


def job_of(trial: Trial) -> Job:
    """The test of its only split."""
    return Job(trial.number, 0, trial.configuration, trial.key)


def test_the_winner_is_retrained_on_validation_conditions_and_tested_beside_the_base(
    sweep: SweepConfig,
) -> None:
    trial = trained(sweep, 16)
    run = split_run(sweep, trial.configuration, split=0)
    found = RunDirectory(run.directory)
    before = {path: path.read_bytes() for path in found.path.rglob("*") if path.is_file()}
    fingerprint = found.manifest.fingerprint  # type: ignore[union-attr]
    tested = score_split(job_of(trial), sweep=sweep, fingerprint=fingerprint)
    step = found.result().best_step
    assert step > 0, "else nothing is retrained"
    assert (tested.step, tested.retrained) == (step, True)
    again = RunDirectory((sweep.directory / tested.model).parent)
    parts, own = (Split.load(one.path / "split.json") for one in (again, found))
    assert {*parts.train} == {*own.train, *own.validation}
    assert (parts.validation, parts.test) == ((), own.test)
    assert max(line["step"] for line in again.journal.lines()) == step
    assert {*tested.scores["mse"].conditions} == {*own.test}
    assert tested.scores["mse"].interval is not None
    assert all(path.read_bytes() == content for path, content in before.items())
    assert again.manifest is not None
    assert "trains on validation conditions, too" in str(
        folds_note(again.manifest.folds, metric="mse")
    )
    assert again.finished

    other = tested.model_copy(update={"split": 1})
    one, both = (tested,), (tested, other)
    pair = [FinalTrial(trial=number, splits=one) for number in (2, 1)]
    lonely = concluded(sweep, *pair, looks=1, is_base=False)
    assert lonely.said.endswith("; one condition cannot tell which is better")
    winner, base = FinalTrial(trial=2, splits=both), FinalTrial(trial=1, splits=both)
    told = concluded(sweep, winner, base, looks=1, is_base=False)
    assert ": a tie (+0, 95 % 0 to 0 over " in told.said
    alone = concluded(sweep, winner, None, looks=1, is_base=True)
    assert alone.said.endswith("; it is the base itself")
    blank = winner.model_copy(update={"splits": (tested.model_copy(update={"step": 0}),)})
    assert "the untrained network" in concluded(sweep, blank, base, looks=1, is_base=False).said


def test_a_retraining_that_was_asked_to_stop_keeps_its_step_and_goes_on_from_it(
    sweep: SweepConfig,
) -> None:
    trial, directory = trained(sweep, 16), SweepDirectory(sweep.directory)
    job, fingerprint = job_of(trial), check_data(sweep)
    again = job.again(sweep)
    signal = Retrained(directory, [again])
    assert not signal.learning
    with again.held():
        assert signal.learning
        again.stop.answer(7)  # of an earlier session
        signal.ask()
        assert signal.kept is None
    with pytest.raises(StoppedError):
        score_split(job, sweep=sweep, fingerprint=fingerprint)
    kept = again.states.step
    assert (kept, again.stop.kept, signal.kept) == (1, 1, "last step of 1 retrained model kept")
    directory.stop.forget()
    score_split(job, sweep=sweep, fingerprint=fingerprint)
    assert (again.finished, again.times.sessions, again.states.step) == (True, 2, None)

    weights = (again.model or again.path) / WEIGHTS
    stopped, undisturbed = weights.read_bytes(), directory.retrained.rename(sweep.directory / "no")
    score_split(job, sweep=sweep, fingerprint=fingerprint)
    assert undisturbed.is_dir()
    assert weights.read_bytes() == stopped


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_test_that_fails_leaves_the_choice_and_is_made_up_for(
    sweep: SweepConfig, caplog: pytest.LogCaptureFixture
) -> None:
    budget = sweep.budget.model_copy(update={"trials": 1, "concurrent": 1})
    sweep = sweep.model_copy(update={"budget": budget})
    trial, directory = trained(sweep, 16), SweepDirectory(sweep.directory)
    with directory.held():
        directory.lock.take(sweep, fingerprint=check_data(sweep), begun=False)
    known = {"trial": trial.key, "configuration": trial.configuration, "baseline": trial.baseline}
    begun = time() - 60
    directory.ledger.write({"event": "session", "trials": 1, "time": begun})
    directory.ledger.write({"event": "start", "number": 1, **known})  # type: ignore[typeddict-item]
    ends: list[Event] = [
        {"event": "split", "trial": trial.key, "split": 0, "value": trial.values[0]},
        {"event": "complete", "trial": trial.key, "seconds": 1.0},
    ]
    for line in ends:
        directory.ledger.write(line)
    directory.retrained.write_text("no folder can be here")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        tune(sweep)
    assert "trial 1 stays the winner" in caplog.text
    assert directory.best.is_dir()
    assert chosen(directory) is not None
    lines = [one["event"] for one in directory.ledger.events()]
    assert lines == ["session", "start", "split", "complete", "final"]
    assert now(directory).state == "stopped"
    with directory.held():
        assert (now(directory).state, now(directory).doing) == ("running", "final")
    directory.retrained.unlink()
    assert door.tune(sweep).final is not None
    hours = {"budget.hours": 0.5 / 60, "budget.trials": 3}
    with pytest.raises(ValueError, match="hours is used up and --extend adds trials only"):
        door.tune(sweep, overrides=hours, extend=1)
    assert [one["event"] for one in directory.ledger.events()][-2:] == ["final", "done"]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_as_many_processes_test_as_there_is_room_for(sweep: SweepConfig) -> None:
    assert _testers(sweep, jobs=1) == 1
    assert _testers(sweep, jobs=1000) == fits(cpus=sweep.resources.cpu)


def test_what_has_changed_since_test_conditions_were_scored_is_said() -> None:
    before = _Wanted(3, None, retrain=False)
    assert _changed(before, before._replace(winner=4)) == "trial 4 is the winner, not 3"
    assert _changed(before, before._replace(base=0)) == "the base has finished"
    assert _changed(before, before._replace(retrain=True)) == "final.retrain is set"


def test_test_scores_are_due_once_for_a_winner(sweep: SweepConfig) -> None:
    scores = {"mse": {"value": 1.0}}
    part = {"split": 0, "model": "m", "step": 2, "retrained": True, "scores": scores}
    of = {"trial": 8, "splits": [part]}
    trials = [
        Trial(str(at), at, {**sweep.baseline, "model.width": at}, baseline=at == 16,
              state="complete", values={0: value})
        for at, value in ((8, 0.1), (16, 0.2), (12, 0.3))
    ]  # fmt: skip
    rows = leaderboard(sweep, trials)
    assert final_due(sweep, rows)
    assert not final_due(sweep.model_copy(update={"final": None}), rows)
    place = SweepDirectory(sweep.directory).final
    place.parent.mkdir(parents=True)
    record = {"winner": of, "base": {**of, "trial": 16}, "retrain": True, "said": "so"}
    place.write_text(json.dumps(record))
    assert not final_due(sweep, rows)
    assert final_due(sweep, rows[1:])  # another winner
    assert final_due(make_sweep({**sweep.model_dump(mode="json"), "final": {}}, where="s"), rows)
    known = final(SweepDirectory(sweep.directory))
    assert known is not None
    assert known.winner.mean("mse") == 1.0


def test_noise_in_place_of_test_cells_changes_no_score_of_the_search(
    sweep: SweepConfig, tiny: dict[str, Any], tiny_adata: anndata.AnnData, tmp_path: Path
) -> None:
    first = trained(sweep, 16)
    run = RunDirectory(split_run(sweep, first.configuration, split=0).directory)
    test = {*Split.load(run.path / "split.json").test}
    noisy = tiny_adata.copy()
    rows = np.flatnonzero(noisy.obs["condition"].isin(test))
    assert len(rows) > 0
    counts = noisy.X.toarray() if hasattr(noisy.X, "toarray") else np.asarray(noisy.X)
    counts = counts.copy()
    counts[rows] = np.random.default_rng(0).poisson(3.0, size=(len(rows), counts.shape[1]))
    noisy.X = counts
    noisy.write_h5ad(tmp_path / "noisy.h5ad")
    options = IngestOptions(context_column="context")
    ingest(tmp_path / "noisy.h5ad", tmp_path / "noisy.zarr", options=options)
    other = sweep_on(tiny, tmp_path / "noisy.zarr")
    again = trained(other, 16)
    assert again.values == first.values
    assert other.directory != sweep.directory


def test_retraining_what_folds_have_trained_on_all_is_refused(sweep: SweepConfig) -> None:
    values = {**sweep.model_dump(mode="json"), "prune": {"scheduler": "none"}}
    values["base"] = {**values["base"], "validation": {"folds": 2}}
    with pytest.raises(ValueError, match=r"with base.validation.folds every trial does so"):
        make_sweep(values, where="sweep")
