"""How the recipes differ from the reference pipeline, and both from the manual: data, a module a recipe."""
