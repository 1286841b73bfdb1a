"""The instruments: what is true of one of them only."""
