"""The terminal app: it shows state and sends commands, and decides nothing. All it can do, the command line can do too."""
