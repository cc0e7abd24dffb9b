"""The product changed, one operator, number or statement at a time; its tests must notice.

An engine of our own, because of two well-kept tools that were tried beside it on files of this
project (CPU seconds for one change, one process):

    mutmut 3.8.1      0.20  host/stagelog/ledger.py, 647 changes. A changed file imports mutmut,
                            so MicroPython can't run it, and a module must have the name of its
                            path: nothing in firmware/ can be judged. Tables at module level are
                            left out, and there is no sample by a seed.
    cosmic-ray 8.7.0  3.5   firmware/slog/framing.py. A new Python and all tests for every change,
                            one list of tests for a whole run. It needs yattag, which has no wheel.
    this              1.2   60 changes of firmware/slog, with the copy of the checkout and the run
                            without any change; what started processes and MicroPython read is
                            changed, too. An area with slow tests costs more: 5 s a change.

mutmut is quicker for the host, and would leave the firmware to a second engine.
"""
