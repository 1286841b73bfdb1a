"""The command-line tools of the manual: plots of traces, handling of bad-pixel tables."""
