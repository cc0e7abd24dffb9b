"""Drafts of what only the owner of a car knows: a short profile, from its DBC and a
log; a DBC, from the traffic of a log.

All of it are guesses, marked as such in the text that is written; nothing here judges a car.
"""
