"""What `scdfm inspect` finds at a path, and how it shows it."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from cli.show.tables import Column, Grid, Row, pairs
from scdfm.flow.files import CARD, ENSEMBLE
from scdfm.screen.address import url_of
from scdfm.screen.census import spelled
from scdfm.screen.names import listed
from scdfm.screen.sealed import FILE as SEALS
from scdfm.screen.untyped import JsonObject

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cluster.storage.wanted import Wanted
    from data_store.store.summary import ContextSummary, Spread, StoreSummary, UnitSummary


Kind = Literal["store", "run", "sweep", "model", "prediction"]
_KINDS = "store, run, sweep, model or prediction"


def kind_of(path: Path) -> Kind:
    """What stands at a path, told by the files in it.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is nothing that scdfm writes.
    """
    if url_of(path):
        return "store"  # the only thing that is read where it is
    if not path.exists():
        raise FileNotFoundError(_nothing_at(path))
    signs: dict[str, Kind] = {
        "model.json": "model",
        "run.yaml": "run",
        "sweep.lock.yaml": "sweep",
        "cells.zarr": "store",
    }
    for name, kind in signs.items():
        if (path / name).exists():
            return kind
    from data_store.prediction import read_facts

    if read_facts(path) is not None:
        return "prediction"
    raise ValueError(
        f"expected a {_KINDS}, got {path}, which has none of "
        f"{', '.join(signs)} and is not a finished prediction; name something that scdfm wrote"
    )


def _nothing_at(path: Path) -> str:
    unfinished = ", or one whose upload never ended" if url_of(path) else ""
    return f"expected a {_KINDS} at {url_of(path) or path}, found nothing there{unfinished}"


def _is_without_manifest(path: Path) -> bool:
    from cluster.storage.storage import storage_at
    from data_store.store.schema import MANIFEST

    address = url_of(path)
    if address is None or address.startswith("http"):  # which is only read
        return False
    return storage_at(address).read(MANIFEST) is None


def describe(path: Path) -> JsonObject:
    """Facts about a store, run, sweep, model or prediction, ready for JSON.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is none of them, or a damaged one.
    """
    path = here(path)
    kind = kind_of(path)
    if kind == "store":
        from data_store.store.reader import Store
        from data_store.store.summary import summarise

        try:
            with Store.open(path) as store:
                return dict(summarise(store))
        except (FileNotFoundError, ValueError):
            if _is_without_manifest(path):  # then nothing says what was meant
                raise FileNotFoundError(_nothing_at(path)) from None
            raise
    if kind == "prediction":
        return _prediction_facts(path)
    if kind == "sweep":
        return _sweep_facts(path)
    from cluster.runs.inspect_run import describe_model, describe_run

    if kind == "model":
        return dict(describe_model(path))
    from cluster.runs.directory import RunDirectory
    from cluster.work.watch.now import now, plain

    return {**describe_run(path), **plain(now(RunDirectory(path)))}


def here(path: Path, *, whole: bool = False) -> Path:
    """Where a run or model can be read; the address itself of a store of cells.

    Args:
        path: Of it.
        whole: Fetch all files of a sweep, too, and not those alone that `describe` reads.
    """
    address = url_of(path)
    if address is None:
        return path
    from cluster.storage.reading import looked_up

    return looked_up(address, choose=None if whole else _described) or path


def _described(names: Collection[str]) -> "Wanted":
    """Which files are read here of what has these; of a sweep's models their cards alone."""
    from cluster.runs.find_model import SWEEP
    from cluster.storage.wanted import but_states

    if SWEEP not in names:
        return but_states
    from sweeps.directory import but_models
    from sweeps.watching.now import LOOKED_AT

    cards = tuple(f"/{name}" for name in (CARD, ENSEMBLE, SEALS))
    return lambda name: LOOKED_AT(name) or (not but_models(name) and name.endswith(cards))


def _sweep_facts(path: Path) -> JsonObject:
    from cluster.runs.whole.unfinished import untrained
    from sweeps.directory import SweepDirectory
    from sweeps.watching.now import now, plain

    sweep = SweepDirectory(path)
    first = untrained(sweep.best)
    return {"kind": "sweep", "path": str(path), "untrained": first, **plain(now(sweep))}


def _prediction_facts(path: Path) -> JsonObject:
    from data_store.prediction import PredictionDirectory, read_facts

    if path.is_dir():
        manifest = PredictionDirectory(path).manifest()
        cells, genes = manifest.cells, manifest.genes
    else:
        import anndata

        prediction = anndata.read_h5ad(path, backed="r")
        cells, genes = prediction.shape
        prediction.file.close()
    facts = read_facts(path) or {}
    return {"kind": "prediction", "path": str(path), "cells": cells, "genes": genes, **facts}


def pages(facts: Mapping[str, Any]) -> list["RenderableType"]:
    """Tables of what `describe` found."""
    if facts.get("kind") == "prediction":
        from cli.show.predicted import lines_of
        from cluster.predict.identity import Provenance

        known = {name: facts[name] for name in Provenance.model_fields if name in facts}
        told = Provenance.read(known)
        if told is not None:
            return [pairs(lines_of(facts, told))]
    return (
        _store(cast("StoreSummary", facts))
        if facts.get("kind") == "store"
        else [pairs(_lines(facts))]
    )


def run_pages(path: Path, facts: Mapping[str, Any]) -> list["RenderableType"]:
    """Where a run stands, and then what else `describe` found of it."""
    import sys

    from cli.show.run.state import lines_of
    from cli.show.terminal import console
    from cluster.runs.directory import RunDirectory
    from cluster.work.watch.now import Now, now

    plain = console(sys.stdout).options.ascii_only
    run = RunDirectory(path)
    lines = lines_of(now(run), name=str(run), plain=plain)
    rest = {name: value for name, value in facts.items() if name not in {*Now._fields, *_TOLD}}
    if facts["untrained"]:
        lines["best"] = facts["untrained"]
    return [pairs(lines), "", pairs(_lines(rest))]


def sweep_pages(path: Path) -> list["RenderableType"]:
    """Where a sweep stands."""
    from cli.show.sweep.state import lines_of
    from cluster.runs.whole.unfinished import untrained
    from sweeps.directory import SweepDirectory
    from sweeps.watching.now import now

    sweep = SweepDirectory(path)
    lines = lines_of(now(sweep), name=str(sweep))
    first = untrained(sweep.best)
    return [pairs(lines | ({"best model": first} if first else {}))]


def _values(facts: "StoreSummary") -> str:
    """What the store's values are, and what was done to those of the files."""
    recipe = facts["recipe"]
    if not facts["normalised"]:
        return "counts, rounded from corrected counts" if recipe.get("rounded") else "counts"
    changed = [f"{depth:,.0f} a cell in {name}" for name, depth in recipe.get("depths", {}).items()]
    return f"log1p per 10k, {'from ' + ', '.join(changed) if changed else 'as given'}"


def _store(facts: "StoreSummary") -> list["RenderableType"]:
    shape = {
        "store": facts["path"],
        "fingerprint": facts["fingerprint"][:12],  # JSON has all of it
        "size": f"{facts['bytes'] / 1e6:,.1f} MB in {facts['files']} files",
        "cells": f"{facts['cells']:,}",
        "genes": f"{facts['genes']:,}",
        "non-zero": f"{1 - facts['zeros']:.1%}, {facts['genes_per_cell']:,.0f} genes of a cell",
        "values": _values(facts),
        "library size": _spread(facts["library_size"]),
        "perturbation": f"{facts['perturbation']}, {facts['perturbed_measured']} of "
        f"{facts['perturbed']} measured",
        "conditions": f"{facts['conditions']:,} ({spelled(facts['by_tokens'])})",
        "cells of one": _spread(facts["cells_per_condition"]),
        "smallest": ", ".join(_unit(unit, facts) for unit in facts["smallest"]),
        "condition from": _columns(facts["recipe"]["condition_column"]),
        "context from": _columns(facts["recipe"]["context_column"]),
        "control words": listed(facts["recipe"]["controls"]),
        "sources": ", ".join(source["name"] for source in facts["sources"]),
    }
    if len(facts["versions"]) > 1:
        shape["versions"] = "\n".join(
            f"{version['fingerprint'][:12]}  {version['cells']:,} cells "
            f"of {len(version['sources'])} sources, in {version['path']}"
            for version in facts["versions"]
        )
    detected = [f"  {line}" for line in facts["detections"]]
    return [pairs(shape), _contexts(facts["contexts"]), "  detected at ingest", *detected]


def _columns(told: str | list[str] | None) -> str:
    """The obs columns that a recipe names."""
    if told is None:
        return "all cells share one"
    return "obs " + (told if isinstance(told, str) else " and ".join(told))


def _unit(unit: "UnitSummary", facts: "StoreSummary") -> str:
    context = f" in {unit['context']}" if len(facts["contexts"]) > 1 else ""
    return f"{unit['condition']}{context} {unit['cells']}"


def _contexts(contexts: Mapping[str, "ContextSummary"]) -> Grid:
    columns = [Column("context", "left"), *map(Column, ("cells", "controls", "conditions"))]
    columns += [Column(f"{name} cells") for name in ("least", "median", "most")]
    rows = []
    for context, facts in contexts.items():
        counts = (facts["cells"], facts["controls"], facts["conditions"])
        spread = facts["cells_per_condition"]
        sizes = () if spread is None else (spread["least"], spread["median"], spread["most"])
        rows.append(
            Row(
                [
                    context,
                    *(f"{count:,}" for count in counts),
                    *([f"{size:,.0f}" for size in sizes] or ["-"] * 3),
                ]
            )
        )
    return Grid(columns, rows)


def _spread(numbers: "Spread | None") -> str:
    if numbers is None:
        return "unknown"
    least, most = numbers["least"], numbers["most"]
    return f"median {numbers['median']:,.0f}, {least:,.0f} to {most:,.0f}"


_TOLD = {"kind", "path", "finished", "score", "damage", "untrained"}  # of a run, in its first lines
_HASH = re.compile("[0-9a-f]{64}")
_LISTED = 6  # items of a list that are shown


def _lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """One line for each fact."""
    from cluster.settings.yaml_file import flat

    if facts.get("untrained") is None:
        facts = {name: value for name, value in facts.items() if name != "untrained"}
    return {
        # A seed is a name, and no amount.
        name: f"{value:,}" if type(value) is int and not name.endswith("seed") else _brief(value)
        for name, value in flat(facts, into_lists=False).items()
    }


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and _HASH.fullmatch(value):
        return value[:12]  # the rest would break the line; JSON has it
    if isinstance(value, list | tuple):
        rest = len(value) - _LISTED
        return ", ".join(map(str, value[:_LISTED])) + (f" and {rest} more" if rest > 0 else "")
    return "-" if value is None else str(value)
