"""The command line: one small file per command group, which parses, calls the engine and prints."""
