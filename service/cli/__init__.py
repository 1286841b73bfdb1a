"""The command `cascade`."""
