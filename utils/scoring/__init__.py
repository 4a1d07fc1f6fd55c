"""How good generated images are, compared with real ones."""
