"""The pages: views on the archive, rendered on the server."""
