"""The code changed, one operator at a time; its tests must notice."""
