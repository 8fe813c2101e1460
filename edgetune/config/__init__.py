"""The recipe (every option of a run, declared once), the presets, and the goals people choose from."""
