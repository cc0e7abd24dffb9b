"""A session file in a program that was written for python-can: nothing in it knows stagelog.

python python_can_reader.py LOG
"""

import sys
from collections import Counter

import can

counts = Counter()
with can.LogReader(sys.argv[1]) as reader:
    for message in reader:
        counts[message.channel, message.arbitration_id] += 1
for (channel, can_id), n in counts.most_common(5):
    print(f"bus {channel} id {can_id:03X}: {n:,} frames")
