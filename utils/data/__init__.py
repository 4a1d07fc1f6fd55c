"""Pictures to learn from: data sets, their order, the built-in robots."""

IMAGE_SIZES = (32, 64, 128, 256)
DEFAULT_IMAGE_SIZE = 64
ANY_SIZE = "32, 64, 128 or 256"
