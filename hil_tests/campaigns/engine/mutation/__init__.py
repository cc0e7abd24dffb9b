"""The product changed, one operator, number or statement at a time; its tests must notice.

An engine of our own, because of two well-kept tools that were tried beside it on the same files
(CPU seconds for one change, one process):

    mutmut 3.8.1      0.20  host/stagelog/ledger.py, 647 changes. Its changed file imports mutmut, so
                            MicroPython can't run it, and a module must have the name of its path:
                            nothing in firmware/ can be judged. Tables at module level are left
                            out, and there is no sample by a seed.
    cosmic-ray 8.7.0  3.5   firmware/slog/framing.py: a new Python and all tests of a file for every
                            change, one list of tests for a whole run. Needs yattag and
                            docopt-subcommands, of which there are no wheels.
    this              0.3   both, with what started processes and MicroPython read from the copy
"""
