"""TensorBoard's own reader finds each trial that ended, what it tried and how it scored."""

from pathlib import Path
from typing import Any

import pytest

from sweeps.directory import SweepDirectory
from sweeps.events import Kind, SweepEvent
from sweeps.ledger import Trial
from sweeps.watching.hparams import HyperParameters

TRIED = {"graph.k": 5, "graph.kind": "pearson", "model.rank": None, "model.cls": True}


def event(kind: Kind, **facts: Any) -> SweepEvent:
    usual = {"trial": 1, "trials": 2, "over": 0, "metric": "mse", "best": None}
    return SweepEvent(kind=kind, **{**usual, **facts})


def test_each_trial_that_ended_is_in_the_table_once(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    told: list[str] = []
    table = HyperParameters(SweepDirectory(tmp_path), metric="mse", on=True)
    report = table.beside(lambda event: told.append(event.kind))
    report(event("start", configuration=TRIED))
    report(event("start", trial=2, configuration=TRIED))
    report(event("complete", value=0.25))
    table.catch_up([Trial("p", 2, TRIED, baseline=False, state="failed")])  # then it is mended
    report(event("pruned", trial=2, value=0.9))
    assert told == ["start", "start", "complete", "pruned"]
    late = Trial("k", 3, TRIED, baseline=False, state="complete", values={0: 0.5})
    table.catch_up([late, Trial("l", 4, TRIED, baseline=False)])
    table.catch_up([late])
    folders = sorted((tmp_path / "tensorboard").iterdir())
    assert [folder.name for folder in folders] == ["trial-1", "trial-2", "trial-3"]
    assert [len(list(folder.iterdir())) for folder in folders] == [1, 1, 1]
    found = []
    for folder in folders:
        shown = reader.EventAccumulator(str(folder)).Reload()
        content = shown.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        values = plugin.HParamsPluginData.FromString(content).session_start_info.hparams
        assert values["graph.k"].number_value == 5
        assert values["graph.kind"].string_value == "pearson"
        assert values["model.rank"].string_value == "none"
        assert values["model.cls"].bool_value
        scores = [one.value for one in shown.Scalars("mse")] if shown.Tags()["scalars"] else []
        found.append((values["state"].string_value, scores))
    assert found == [("complete", [0.25]), ("pruned", []), ("complete", [0.5])]


def test_who_does_not_want_the_table_has_none(tmp_path: Path) -> None:
    table = HyperParameters(SweepDirectory(tmp_path), metric="mse", on=False)
    table.catch_up([Trial("k", 3, TRIED, baseline=False, state="complete", values={0: 0.5})])
    assert list(tmp_path.iterdir()) == []
