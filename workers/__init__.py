"""The daemons: ingest, dispatcher, block execution, housekeeping, and their supervisor."""
