"""The archive: SQLAlchemy models, sessions, queries, state changes and the product store.

The only room that knows SQL. Others call functions whose names say the question (`core.archive.queries`) or the change
(`core.archive.transitions`, `leases`, `finishing`, `orders`).
"""
