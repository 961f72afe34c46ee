"""What other sweeps have found: known to the search where it compares, refused where not."""

from pathlib import Path
from typing import Any

import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.dry_run import first_configurations
from sweeps.proposals.prior import observed, require_comparable
from sweeps.proposals.search import StudySearch
from sweeps.proposals.storage import FROM
from sweeps.schema.files import make_sweep
from sweeps.schema.sweep import Configuration

CELLS = "a" * 40


def sweep_of(tiny: dict[str, Any], output: Path, **changes: Any) -> SweepConfig:
    return make_sweep({**tiny, "output": str(output), **changes}, where="test")


def begun(sweep: SweepConfig, *trials: tuple[Configuration, dict[int, float]]) -> SweepConfig:
    """A sweep on disk with such trials; those with a value for each split are complete."""
    directory = SweepDirectory(sweep.directory)
    directory.lock.take(sweep, fingerprint=CELLS, begun=False)
    for number, (changes, values) in enumerate(trials):
        own, trial = {**sweep.baseline, **changes}, f"{number:016x}"
        begins: Any = {"event": "start", "configuration": own, "baseline": False}
        directory.ledger.write({**begins, "trial": trial})
        for split, value in values.items():
            line: Any = {"event": "split", "trial": trial, "split": split, "value": value}
            directory.ledger.write(line)
        if len(values) == len(sweep.splits):
            directory.ledger.write({"event": "complete", "trial": trial, "seconds": 1.0})
    return sweep


def later(tiny: dict[str, Any], output: Path, *places: Path, **changes: Any) -> SweepConfig:
    search = {**tiny["search"], "from": [str(place) for place in places]}
    return sweep_of(tiny, output, **{"name": "later", "search": search, **changes})


def test_finished_trials_that_compare_are_known_and_may_be_proposed_again(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    first = begun(
        sweep_of(tiny, tmp_path),
        ({"graph.k": 8}, {0: 0.2, 1: 0.4}),
        ({"graph.k": 12}, {0: 0.1}),  # not finished
        ({"model.width": 8, "graph.k": 4}, {0: 0.5, 1: 0.7}),
    )
    second = later(tiny, tmp_path, first.directory)
    found = observed(second, fingerprint=CELLS)
    assert [one.configuration["graph.k"] for one in found] == [8, 4]
    assert [one.values for one in found] == [pytest.approx((0.3,)), pytest.approx((0.6,))]

    storage = InMemoryStorage()
    given: dict[str, Any] = {"storage": storage, "name": "later", "earlier": (), "first": ()}
    search = StudySearch(second, observed=found, **given)
    told = search._study.get_trials()
    assert [trial.state for trial in told] == [TrialState.COMPLETE] * 2
    assert {trial.user_attrs[FROM] for trial in told} == {str(first.directory)}
    again = StudySearch(second, observed=found, **given)
    assert len(again._study.get_trials()) == 2  # a restart tells nothing twice
    fresh = {**given, "storage": InMemoryStorage(), "first": [second.baseline]}
    real = StudySearch(second, observed=found, **fresh)
    shown = first_configurations(second, known=found)  # of a dry run
    assert shown == tuple(real.suggest(str(number)) for number in range(3))
    assert shown != first_configurations(second)
    base = StudySearch(second, observed=found, **{**given, "first": [found[0].configuration]})
    assert base.suggest("one") == found[0].configuration


def test_a_trial_that_differs_in_what_is_not_tried_says_nothing(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    wider = {**tiny["space"], "training.learning_rate": {"type": "float", "low": 1e-4, "high": 1}}
    first = begun(
        sweep_of(tiny, tmp_path, space=wider),
        ({"training.learning_rate": 0.1}, {0: 0.2, 1: 0.4}),
        ({"graph.k": 8}, {0: 0.5, 1: 0.5}),  # at the base's own rate
        ({"loss.mmd_weight": 9.0}, {0: 0.5, 1: 0.7}),
    )
    narrow = {**tiny["space"], "loss.mmd_weight": {"type": "float", "low": 0.01, "high": 5}}
    second = later(tiny, tmp_path, first.directory, space=narrow)
    [one] = observed(second, fingerprint=CELLS)
    assert one.configuration["graph.k"] == 8


def test_trials_with_other_edges_say_nothing_wherever_their_list_is(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    def edges(name: str, content: str) -> dict[str, Any]:
        (tmp_path / name).write_text(content)
        return {**tiny["base"], "graph": {"kind": "edges", "path": str(tmp_path / name)}}

    first = begun(
        sweep_of(tiny, tmp_path, base=edges("a.csv", "source,target\nA,B\n")),
        ({"graph.k": 8}, {0: 0.2, 1: 0.4}),
    )
    for name, content, known in (
        ("b.csv", "source,target\nA,B\n", 1),
        ("c.csv", "source,target\nA,C\n", 0),
        ("a.csv", "source,target\nA,C\n", 0),
    ):
        second = later(tiny, tmp_path, first.directory, base=edges(name, content))
        assert len(observed(second, fingerprint=CELLS)) == known


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"splits": [{"kind": "additive"}]}, "was on other splits"),
        ({"objective": {"metric": "mae"}}, "was judged by another metric"),
        ({"resources": {"workers": 2}}, "was trained with another number of workers"),
        ({}, None),
    ],
)
def test_what_does_not_compare_is_refused(
    tiny: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str | None
) -> None:
    first = begun(sweep_of(tiny, tmp_path))
    second = later(tiny, tmp_path, first.directory, **changes)
    if said is None:
        assert list(require_comparable(second, fingerprint=CELLS)) == [first.directory]
        with pytest.raises(ValueError, match="was on other cells"):
            require_comparable(second, fingerprint="b" * 40)
        return
    with pytest.raises(ValueError, match=rf"^search\.from: .*{said}[^\n]*leave it out$"):
        require_comparable(second, fingerprint=CELLS)


def test_what_is_no_sweep_and_samplers_that_do_not_learn_are_refused(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="expected the directory of a sweep that has begun"):
        observed(later(tiny, tmp_path, tmp_path / "none"), fingerprint=CELLS)
    search = {"sampler": "random", "from": ["runs/other"]}
    with pytest.raises(ValueError, match="random learns from nothing; remove it"):
        sweep_of(tiny, tmp_path, search=search)


def test_the_setting_is_spelled_from_everywhere(tiny: dict[str, Any], tmp_path: Path) -> None:
    sweep = later(tiny, tmp_path, Path("runs/other"))
    assert sweep.model_dump(mode="json")["search"]["from"] == ["runs/other"]
    assert SweepConfig.model_validate(sweep.model_dump(mode="json")) == sweep
    directory = SweepDirectory(sweep.directory)
    directory.lock.take(sweep, fingerprint=CELLS, begun=False)
    directory.lock.take(sweep, fingerprint=CELLS, begun=True)
    overridden = make_sweep({**tiny}, where="test", overrides={"search.from": ["runs/x"]})
    assert overridden.search.from_ == (Path("runs/x"),)
