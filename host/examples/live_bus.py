"""A recording logger as a bus of python-can: the next ten frames.

python live_bus.py PORT
"""

import sys

import can

with can.Bus(interface="stagelog", channel=sys.argv[1]) as bus:
    for _ in range(10):
        print(bus.recv(timeout=5))
