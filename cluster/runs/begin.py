"""How a run begins: refuse one that could not, then decide and write what it is."""

from pathlib import Path

from cluster.runs.config import RunConfig, difference, read_run, write_run
from cluster.runs.directory import MANIFEST, RUN, has_begun, manifest, write_json
from cluster.runs.fine_tune import require_source, source_facts
from cluster.runs.graph import edges_changed
from cluster.runs.plan import make_plan, require_edges, run_split, validation_cells
from cluster.runs.provenance import provenance
from data_store.store.reader import Store


def open_store(run: RunConfig) -> Store:
    """The newest version of a run's store, or the one that the run has begun to learn from.

    Raises:
        FileNotFoundError, ValueError: No whole store, or it does not hold that version.
    """
    begun = manifest(run.directory) if has_begun(run.directory) else {}
    return Store.open(run.store, fingerprint=begun.get("fingerprint"))


def check(run: RunConfig) -> None:
    """Refuse a run that could not begin, before anything is written.

    Raises:
        FileNotFoundError: No such store, list of edges or model to start from.
        ValueError: No whole store, a split with an empty part, a list of edges or a model to start
            from that does not fit, or the run's directory holds what another configuration has
            learnt, or what was learnt from other cells or edges.
    """
    with open_store(run) as store:
        if has_begun(run.directory):
            _same_run(run, run.directory, fingerprint=store.fingerprint)
        else:
            require_inputs(run, store)


def require_inputs(run: RunConfig, store: Store) -> None:
    """Refuse a run whose split, list of edges or first weights do not fit the store.

    Raises:
        FileNotFoundError: No such list of edges or model to start from.
        ValueError: One of them does not fit.
    """
    split = run_split(run, store)
    validation_cells(split, store, run=run)
    require_edges(run, store, split=split)
    require_source(run, perturbation=store.perturbation)


def prepare(run: RunConfig) -> None:
    """Make the plan of a run that `check` found in order, or keep the one that is there."""
    directory = run.directory
    with open_store(run) as store:
        if not _is_prepared(run, fingerprint=store.fingerprint):
            plan = make_plan(run, store)
            facts = {**provenance(run, store), "graph": plan.graph_facts}
            if run.init_from is not None:
                facts["init_from"] = source_facts(run, plan)
            directory.mkdir(parents=True, exist_ok=True)
            write_run(run, directory / RUN)
            plan.save(directory)
            write_json(directory / MANIFEST, facts)


def _is_prepared(run: RunConfig, *, fingerprint: str) -> bool:
    directory, facts = run.directory, manifest(run.directory)
    if has_begun(directory):
        return True
    return (
        facts.get("fingerprint") == fingerprint
        and not edges_changed(run.graph, facts.get("graph", {}))
        and difference(read_run(directory / RUN), run) is None
    )


def _same_run(run: RunConfig, directory: Path, *, fingerprint: str) -> None:
    changed = difference(read_run(directory / RUN), run)
    if changed:
        raise ValueError(
            f"{directory} holds another run: {changed}; choose another name or delete it"
        )
    facts = manifest(directory)
    if not facts:
        return
    trained_on = facts["fingerprint"]
    if trained_on != fingerprint:
        raise ValueError(
            f"{directory} was begun on store {trained_on[:12]} and {run.store} is now "
            f"{fingerprint[:12]}; choose another name or delete it"
        )
    edges = edges_changed(run.graph, facts.get("graph", {}))
    if edges:
        raise ValueError(f"{directory} was begun {edges}; choose another name or delete it")
