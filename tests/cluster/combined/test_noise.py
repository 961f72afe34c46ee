"""What a base is told of the noise of its training units."""

from pathlib import Path

import numpy as np

from cluster.work.means import measured_units
from data_store.store.reader import Store
from data_store.stream import Cells


def test_noise_is_spread_over_genes_as_cells_of_units_and_controls_vary(
    tiny_store_path: Path,
) -> None:
    with Store.open(tiny_store_path) as store:
        some = [k for k, unit in enumerate(store.units) if not unit.is_control]
        columns = np.arange(0, len(store.genes), 2)
        parts = [Cells(k, store.units[k].start, store.units[k].stop) for k in some]
        known = measured_units(store, parts, columns=columns)
        read = [*(store.units[k] for k in some), *store.controls.values()]
        variances = [
            store.expression(unit.start, unit.stop, genes=columns).var(axis=0, ddof=1)
            for unit in read
        ]
    assert known.noise_by_gene is not None
    assert max(len(unit) for unit in read) <= 256  # more cells are not read
    expected = np.mean([one / one.mean() for one in variances], axis=0)
    np.testing.assert_allclose(known.noise_by_gene, expected, rtol=1e-4)
    assert np.isclose(known.noise_by_gene.mean(), 1)
