"""The authors' own network, so that published weights load and numbers can be compared."""

from scdfm.model.release.names import in_release_names
from scdfm.model.release.network import ReleaseField
from scdfm.model.release.weights import load_release, mask_graph, read_release

__all__ = ["ReleaseField", "in_release_names", "load_release", "mask_graph", "read_release"]
