"""What a log holds and what is missing from it, by the logger's own account.

python what_is_missing.py LOG
"""

import sys

import stagelog
from stagelog.ledger import describe

drive = stagelog.open(sys.argv[1])
for each in drive.accounts:
    ledger = each.ledger
    print(f"session {ledger.name}: {each.verdict.text}")
    for bus in ledger.buses:
        print(f"  bus {bus.bus}: {bus.n_seen:,} frames seen, {bus.n_held:,} here")
    for gap in ledger.gaps:
        print(f"  {describe(gap, each.timeline)}")
