"""The logger application: ring, store, clock, health, service. It never imports `machine`.

Everything of the world is passed in: a clock, a card, capture sources, a byte link, a place for
settings.
"""
