"""What a trained run is asked for."""
