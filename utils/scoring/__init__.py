"""How good generated images are, compared with real ones."""

from utils.scoring import copies, distances, patches, similarity  # noqa: F401 - each registers its metrics
