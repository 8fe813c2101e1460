"""What is interactive, without a user interface: chat history, slash commands, best of n, ranking, arena."""
