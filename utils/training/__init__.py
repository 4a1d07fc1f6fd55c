"""The loop around a method's training step."""
