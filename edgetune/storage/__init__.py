"""Files and folders: writes that are complete or absent, paths as people type them, the workspace."""
