"""From a soldered board to a signed sheet: `stagelog bringup`.

    BringUp(bench, counts, sections).run(operator) -> Sheet
    sheet_html(sheet, load_reference())

A program goes onto the board for that time, beside the firmware, and works with the shipped
drivers and the shipped application (`firmware/bringup`). `bench` is the board with its power,
`program` the program on it, `recorder` a run of the application; `wires`, `controller`, `card`,
`recording` and `power` make the rows, `sheet` is what they are. Fails with DeviceError, FlashError
and ContractError.
"""

from stagelog.bringup.bench import Bench, SerialBench, switch_by_command
from stagelog.bringup.html import sheet_html
from stagelog.bringup.run import QUICK, SECTIONS, BringUp, Counts
from stagelog.bringup.sheet import FAIL, NOT_MEASURED, PASS, Row, Sheet, load_reference, sha256_of

__all__ = [
    "FAIL",
    "NOT_MEASURED",
    "PASS",
    "QUICK",
    "SECTIONS",
    "Bench",
    "BringUp",
    "Counts",
    "Row",
    "SerialBench",
    "Sheet",
    "load_reference",
    "sha256_of",
    "sheet_html",
    "switch_by_command",
]
