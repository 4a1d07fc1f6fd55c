"""What networks are made of, and what surrounds them in a training step."""
