"""Votes: record and store them, generate candidates, rate models, export to every preference format."""
