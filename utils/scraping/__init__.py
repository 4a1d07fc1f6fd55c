"""Collecting pictures, politely."""
