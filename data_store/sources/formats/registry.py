"""Every format of cells, one line each."""

from data_store.sources.formats.format import Format
from scdfm.screen.registry import Registry

FORMATS: Registry[Format] = Registry(
    "format",
    group="scdfm.formats",
    of=Format,
    own={
        "h5ad": "data_store.sources.formats.anndata_files:H5AD",
        "zarr": "data_store.sources.formats.anndata_files:ZARR",
        "10x": "data_store.sources.formats.tenx:TENX",
        "mtx": "data_store.sources.formats.mtx.folder:MTX",
        "h5mu": "data_store.sources.formats.h5mu:H5MU",
        "loom": "data_store.sources.formats.loom:LOOM",
        "gz": "data_store.sources.formats.gz:GZ",
    },
)
"""Those that a file may be of are asked in this order, plug-ins last."""
