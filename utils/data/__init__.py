"""Pictures to learn from: data sets, their order, the built-in robots."""
