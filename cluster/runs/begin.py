"""How a run begins: refuse one that cannot run, then decide and write down what it is."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cluster.runs.directory import RunDirectory, TrainResult
from cluster.runs.find_model import SWEEP
from cluster.runs.fine_tune import require_source, source_facts, source_weights
from cluster.runs.graph import edges_changed
from cluster.runs.identity import changed, moved
from cluster.runs.parts.plan_files import plan_faults, plan_hashes
from cluster.runs.plan import (
    make_plan,
    planned_split,
    require_edges,
    run_folds,
    run_genes,
    training_cells,
    units_of,
    validation_cells,
)
from cluster.runs.provenance import provenance
from cluster.runs.stores.kept import OpenStore
from cluster.settings.config import RunConfig
from cluster.settings.watch import require_watchers
from cluster.storage.places import named
from data_store.store.reader import Store
from scdfm.flow.files import SPLIT
from scdfm.metrics.shrunken import NO_SINGLES
from scdfm.screen.atomic import sha256
from scdfm.splits import Split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenRun:
    """A run file, compared with what its directory holds."""

    config: RunConfig
    fingerprint: str | None = None  # of the store's version that a run not yet begun must use
    opener: OpenStore = Store.open

    @cached_property
    def directory(self) -> RunDirectory:
        """Where the run lives, as it is there now."""
        return RunDirectory(self.config.directory).fetch()

    def check(self) -> None:
        """Refuse a run that cannot begin, before anything is written; log what has moved.

        Raises:
            FileNotFoundError: No such store, list of edges or model to start from.
            ValueError: No whole store, a split with an empty part, a list of edges or a model to
                start from that does not fit, no client for what is to watch, or the run's
                directory holds what another configuration has learnt, what was learnt from other
                cells or edges, or a damaged plan.
        """
        _refuse_sweep(self.directory.path)
        require_watchers(self.config.watch)
        with self.open_store() as store:
            if not self.directory.begun:
                require_inputs(self.config, store)
                return
            self._require_same_settings()
            if not self.directory.finished:
                self.directory.require_plan()
            for fault in self._other_content(store):
                raise ValueError(
                    f"{self.directory} was begun {fault}; choose another name, or name what "
                    "it was begun with"
                )
        for line in moved(self.directory.settings, self.config):
            log.info(line)

    def result(self) -> TrainResult | None:
        """The result of a finished run; None for an unfinished one. Writes down what has moved."""
        if not self.directory.finished:
            return None
        if self.directory.settings != self.config:
            with self.directory.held() as directory:
                self._note_places(directory)
        return self.directory.result()

    def prepare(self, directory: RunDirectory) -> None:
        """Make the plan of a run that `check` accepted, or keep the existing one.

        Args:
            directory: The run's, held.
        """
        if directory.begun:
            self._note_places(directory)
            return
        with self.open_store() as store:
            if self._is_prepared(directory, store):
                return
            plan = make_plan(self.config, store)
            facts = provenance(store, run=self.config.name, address=self.config.store)
            facts = facts.model_copy(update={"graph": plan.graph_facts})
            if self.config.init_from is not None:
                source = source_facts(
                    self.config.init_from,
                    vocabulary=plan.vocabulary,
                    store=store,
                    tested=[store.units[k] for k in units_of(plan.split, store, "test")],
                )
                facts = facts.model_copy(update={"init_from": source})
            directory.forget_manifest()
            directory.forget_model()  # of other settings
            directory.write_settings(self.config)
            plan.save(directory.path)
            directory.write_folds(run_folds(self.config, store))
            directory.write_manifest(facts.model_copy(update={"plan": plan_hashes(directory.path)}))
            directory.publish()

    def open_store(self) -> AbstractContextManager[Store]:
        """The newest version of the run's store, or the version that the run was begun with.

        Raises:
            FileNotFoundError: Nothing is there; says which setting names another place.
            ValueError: No whole store, or it does not hold that version.
        """
        begun = self.directory.manifest if self.directory.begun else None
        fingerprint = begun.fingerprint if begun else self.fingerprint
        try:
            return self.opener(self.config.store, fingerprint=fingerprint)
        except FileNotFoundError as error:
            remedy = (
                f"{self.directory} was begun on it: name where it is now"
                if begun
                else "ingest one there, or name another"
            )
            raise FileNotFoundError(
                f"expected a store at {self.config.store}, found nothing there; {remedy} with "
                "--set store=PATH"
            ) from error

    def _require_same_settings(self) -> None:
        before = self.directory.settings
        found = changed(before, self.config)
        if found.keys() == {"training.steps"} and self.directory.finished:
            steps, wanted = found["training.steps"]
            raise ValueError(
                f"{self.directory} is done at step {steps}, and training.steps is now "
                f"{wanted}; its learning rate has reached its end, so start another run from its "
                "weights: "
                f"--set name=NAME --set init_from={self.directory}"
            )
        for name, (then, now) in found.items():
            raise ValueError(
                f"{self.directory} holds another run: {name} was {then!r} and is now {now!r}; "
                "set it back, or choose another name"
            )

    def _other_content(self, store: Store) -> Iterator[str]:
        """Inputs that changed since the run was begun, though the settings agree.

        A list of edges, a model or a split file that was deleted is no longer needed.
        """
        config, begun = self.config, self.directory.manifest
        if begun is None:
            return
        edges = edges_changed(config.graph, begun.graph)
        if edges is not None:
            yield edges
        weights = source_weights(config.init_from) if config.init_from is not None else None
        if weights is not None and begun.init_from is not None:
            now, then = sha256(weights), begun.init_from.weights
            if then and now != then:
                yield f"from weights of sha256 {then[:12]} and {weights} is now {now[:12]}"
        file = config.split.path
        kept = self.directory.path / SPLIT
        if (
            file is not None
            and file.is_file()
            and not _same_split(planned_split(config, store), Split.load(kept))
        ):
            yield f"with another split than {file} holds now"

    def _is_prepared(self, directory: RunDirectory, store: Store) -> bool:
        facts = directory.manifest
        return (
            facts is not None
            and facts.fingerprint == store.fingerprint
            and directory.settings == self.config
            and not plan_faults(directory.path, facts)
            and next(self._other_content(store), None) is None
        )

    def _note_places(self, directory: RunDirectory) -> None:
        """Write down where things are now; `evaluate` and the next session look there."""
        if directory.settings == self.config:
            return
        directory.write_settings(self.config)
        facts = directory.manifest
        if facts is not None:
            places = {"run": self.config.name, "store": self.config.store}
            directory.write_manifest(facts.model_copy(update=places))
        directory.publish()


def require_inputs(run: RunConfig, store: Store) -> None:
    """Refuse a run whose split, genes, base, list of edges or first weights do not fit the store.

    Raises:
        FileNotFoundError: No such list of edges or model to start from.
        ValueError: One of them does not fit.
    """
    split = planned_split(run, store)
    validation_cells(split, store, units=run.validation.units, seed=run.seed)
    run_folds(run, store)
    of_singles = (len(store.units[one.unit].tokens) == 1 for one in training_cells(split, store))
    if run.sampling.mean.base == "additive" and not any(of_singles):
        raise ValueError(NO_SINGLES)
    genes = run_genes(run.genes, store, split=split).model
    if run.graph.path is not None:
        require_edges(run.graph, store, genes=genes)
    if run.init_from is not None:
        require_source(run.init_from, model=run.model, perturbation=store.perturbation)


def _same_split(now: Split, begun: Split) -> bool:
    """Whether a split file still means the split that a run was begun with.

    An older version drew validation conditions by another rule; the run keeps what it drew.
    """
    if begun.validation_source is not None or now.validation_source is None:
        return now == begun
    if now.validation_source == "listed":
        return now == begun.model_copy(update={"validation_source": "listed"})
    whole = [({*one.train, *one.validation}, one.test, one.context) for one in (now, begun)]
    return whole[0] == whole[1]


def _refuse_sweep(path: Path) -> None:
    if (path / SWEEP).is_file():
        raise ValueError(f"{named(path)} holds a sweep; choose another name for the run")
