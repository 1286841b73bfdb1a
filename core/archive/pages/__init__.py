"""Queries of the pages and of the REST interface: read-only, bounded, each served by an index.

Every function takes a session and answers one question; lists are limited, long ones page by key.
"""
