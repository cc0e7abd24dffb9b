"""Fault campaigns: models of what cards, links and buses do wrong, a perfect witness, and engines
that combine them.
"""
