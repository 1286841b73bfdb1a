"""The muse_* recipes: declarations, flows, and the engine that runs them.

`core.recipes.registry` knows all recipes; `core.recipes.engine.run_recipe` runs one on a set of frames; the command
``muserex`` runs one from the shell.
"""
