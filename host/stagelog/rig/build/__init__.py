"""Building MicroPython from Debian's source packages, without root; for stagelog.rig.runtimes."""
