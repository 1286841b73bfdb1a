"""The kit of recipes: what a recipe is, and the engine that runs it; recipes are in rooms of their own below.

`core.recipes.registry` knows all recipes; `core.recipes.engine.run_recipe` runs one on a set of frames; the command
``muserex`` runs one from the shell.
"""
