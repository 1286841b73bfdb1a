"""The service: REST interface, pages and the command `cascade`. It reads the archive and never reduces anything."""
