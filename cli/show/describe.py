"""What `scdfm inspect` finds at a path, and how it shows it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cli.show.tables import Column, Grid, Row, pairs
from scdfm.screen.address import url_of
from scdfm.screen.census import spelled
from scdfm.screen.names import listed

if TYPE_CHECKING:
    from rich.console import RenderableType


Kind = Literal["store", "run", "model", "prediction"]


def kind_of(path: Path) -> Kind:
    """What stands at a path, told by the files in it.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is nothing that scdfm writes.
    """
    if url_of(path):
        return "store"  # the only thing that is read where it is
    if not path.exists():
        raise FileNotFoundError(
            f"expected a store, run, model or prediction at {path}, found nothing there"
        )
    signs: dict[str, Kind] = {"model.json": "model", "run.yaml": "run", "cells.zarr": "store"}
    for name, kind in signs.items():
        if (path / name).exists():
            return kind
    from data_store.prediction import read_facts

    if read_facts(path) is not None:
        return "prediction"
    if (path / "best" / "model.json").is_file():
        raise ValueError(
            f"expected a store, run, model or prediction, got the sweep {path}; its best model is "
            f"{path / 'best'}"
        )
    raise ValueError(
        f"expected a store, run, model or prediction, got {path}, which has none of "
        f"{', '.join(signs)} and is not a finished prediction; name something that scdfm wrote"
    )


def describe(path: Path) -> dict[str, Any]:
    """Facts about a store, run, model or prediction, ready for JSON.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is none of them, or a damaged one.
    """
    path = here(path)
    kind = kind_of(path)
    if kind == "store":
        from data_store.store.reader import Store
        from data_store.store.summary import summarise

        with Store.open(path) as store:
            return dict(summarise(store))
    if kind == "prediction":
        return _prediction_facts(path)
    from cluster.runs.inspect_run import describe_model, describe_run

    if kind == "model":
        return describe_model(path)
    from cluster.runs.directory import RunDirectory
    from cluster.work.watch.now import now, plain

    return {**describe_run(path), **plain(now(RunDirectory(path)))}


def here(path: Path) -> Path:
    """Where a run or model can be read; the address itself of a store of cells."""
    address = url_of(path)
    if address is None:
        return path
    from cluster.storage.reading import looked_up

    return looked_up(address) or path


def _prediction_facts(path: Path) -> dict[str, Any]:
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
    return _store(facts) if facts.get("kind") == "store" else [pairs(_lines(facts))]


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
    return [pairs(lines), "", pairs(_lines(rest))]


def _values(facts: Mapping[str, Any]) -> str:
    """What the store's values are, and what was done to those of the files."""
    recipe = facts["recipe"]
    if not facts["normalised"]:
        return "counts, rounded from corrected counts" if recipe.get("rounded") else "counts"
    changed = [f"{depth:,.0f} a cell in {name}" for name, depth in recipe.get("depths", {}).items()]
    return f"log1p per 10k, {'from ' + ', '.join(changed) if changed else 'as given'}"


def _store(facts: Mapping[str, Any]) -> list["RenderableType"]:
    shape = {
        "store": facts["path"],
        "fingerprint": facts["fingerprint"],
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


def _unit(unit: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    context = f" in {unit['context']}" if len(facts["contexts"]) > 1 else ""
    return f"{unit['condition']}{context} {unit['cells']}"


def _contexts(contexts: Mapping[str, Mapping[str, Any]]) -> Grid:
    counts, spread = ("cells", "controls", "conditions"), ("least", "median", "most")
    columns = [Column("context", "left"), *map(Column, counts)]
    columns += [Column(f"{name} cells") for name in spread]
    rows = []
    for context, facts in contexts.items():
        sizes = facts["cells_per_condition"] or {}
        rows.append(
            Row(
                [
                    context,
                    *(f"{facts[name]:,}" for name in counts),
                    *(f"{sizes[name]:,.0f}" if sizes else "-" for name in spread),
                ]
            )
        )
    return Grid(columns, rows)


def _spread(numbers: Mapping[str, float] | None) -> str:
    if numbers is None:
        return "unknown"
    least, most = numbers["least"], numbers["most"]
    return f"median {numbers['median']:,.0f}, {least:,.0f} to {most:,.0f}"


_TOLD = {"kind", "path", "finished", "score"}  # of a run, in its first lines
_LISTED = 6  # items of a list that are shown


def _lines(facts: Mapping[str, Any]) -> dict[str, str]:
    """One line for each fact."""
    from cluster.settings.yaml_file import flat

    return {name: _brief(value) for name, value in flat(facts, into_lists=False).items()}


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        rest = len(value) - _LISTED
        return ", ".join(map(str, value[:_LISTED])) + (f" and {rest} more" if rest > 0 else "")
    return "-" if value is None else str(value)
