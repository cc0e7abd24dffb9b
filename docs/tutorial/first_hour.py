"""Makes the logs and DBC files of the first-hour tutorials, in the current folder.

    python first_hour.py toyota|truck|boat

Ten seconds each, computed here: nothing in them was recorded. Layouts are those that such vehicles
are known for; the text of each tutorial says which values to expect.
"""

import sys
from pathlib import Path

START_S = 1_700_000_000
TOYOTA = """VERSION ""
BU_: X
BO_ 170 Wheels: 8 X
 SG_ WheelSpeed_FR : 7|16@0+ (0.01,-67.67) [0|250] "km/h" X
 SG_ WheelSpeed_FL : 23|16@0+ (0.01,-67.67) [0|250] "km/h" X
 SG_ WheelSpeed_RR : 39|16@0+ (0.01,-67.67) [0|250] "km/h" X
 SG_ WheelSpeed_RL : 55|16@0+ (0.01,-67.67) [0|250] "km/h" X
BO_ 705 Pedal: 8 X
 SG_ AccelPedal : 55|8@0+ (0.5,0) [0|100] "%" X
 SG_ Checksum : 63|8@0+ (1,0) [0|255] "" X
"""
TRUCK = f"""VERSION ""
BU_: X
BO_ {0x8CF00400} EEC1: 8 X
 SG_ EngineSpeed : 24|16@1+ (0.125,0) [0|8031.875] "rpm" X
 SG_ ActualTorque : 16|8@1+ (1,-125) [-125|125] "%" X
BO_ {0x98FEF100} CCVS1: 8 X
 SG_ VehicleSpeed : 8|16@1+ (0.00390625,0) [0|250.996] "km/h" X
 SG_ ParkingBrake : 2|2@1+ (1,0) [0|3] "" X
BO_ {0x98FEEE00} ET1: 8 X
 SG_ CoolantTemp : 0|8@1+ (1,-40) [-40|210] "degC" X
 SG_ OilTemp : 16|16@1+ (0.03125,-273) [-273|1734.97] "degC" X
"""
BOAT = f"""VERSION ""
BU_: X
BO_ {0x89F20000} Engine: 8 X
 SG_ EngineSpeed : 8|16@1+ (0.25,0) [0|0] "rpm" X
BO_ {0x8DF50B00} Depth: 8 X
 SG_ WaterDepth : 8|32@1+ (0.01,0) [0|0] "m" X
BO_ {0x89F80100} Position: 8 X
 SG_ Latitude : 0|32@1- (1E-007,0) [-90|90] "deg" X
 SG_ Longitude : 32|32@1- (1E-007,0) [-180|180] "deg" X
BO_ {0x8DF80500} Gnss: 43 X
 SG_ Satellites : 264|8@1+ (1,0) [0|0] "" X
 SG_ Altitude : 184|64@1- (1E-006,0) [0|0] "m" X
"""


def toyota(k):
    """Frames of 10 ms: speed rises by 0.1 km/h each 10 ms; the pedal stands at 40 %."""
    raw = round((0.1 * k + 67.67) / 0.01)
    yield 0x0AA, raw.to_bytes(2, "big") * 4
    pedal = bytes([0, k & 255, 0, 0, 0, 0, 80])
    yield 0x2C1, pedal + bytes([sum(pedal) + 0x02 + 0xC1 + 8 & 255])


def truck(k):
    """Frames of 10 ms: 1,200 rpm of engine 00; the oil sensor is not fitted, the coolant's fails
    after five seconds; the retarder (0F) sends EEC1, too, without a speed.
    """
    yield 0x0CF00400, bytes([0xFF, 0xFF, 165]) + (1200 * 8).to_bytes(2, "little") + b"\xff\xff\xff"
    if k % 10 == 0:
        yield 0x0CF0040F, b"\xff\xff\x7d\xff\xff\xff\xff\xff"
        yield 0x18FEF100, b"\xf3" + (80 * 256).to_bytes(2, "little") + b"\xff" * 5
    if k % 100 == 0:
        yield 0x18FEEE00, bytes([130 if k < 500 else 0xFE]) + b"\xff" * 7


def boat(k):
    """Frames of 10 ms: 2,400 rpm, 5.2 m of water that is lost after eight seconds, and a position
    that also comes as a fast packet of 43 bytes.
    """
    if k % 10 == 0:
        yield 0x09F20023, b"\x00" + (2400 * 4).to_bytes(2, "little") + b"\xff\xff\x7f\xff\xff"
        place = round(43.5e7 + k).to_bytes(4, "little") + round(7.1e7).to_bytes(4, "little")
        yield 0x09F80123, place
    if k % 100 == 0:
        depth = 520 if k < 800 else 0xFFFFFFFF
        yield 0x0DF50B23, b"\x01" + depth.to_bytes(4, "little") + b"\xff\x7f\xff"
        packet = bytearray(b"\xff" * 43)
        packet[23:31], packet[33] = (12_000_000).to_bytes(8, "little"), 9
        counter = k // 100 % 8 << 5
        yield 0x0DF80523, bytes([counter, 43]) + packet[:6]
        for number, at in enumerate(range(6, 43, 7), 1):
            yield 0x0DF80523, bytes([counter | number]) + packet[at : at + 7].ljust(7, b"\xff")


def main(name):
    """Write NAME.log (candump) and NAME.dbc."""
    dbc, frames = {
        "toyota": (TOYOTA, toyota),
        "truck": (TRUCK, truck),
        "boat": (BOAT, boat),
    }[name]
    Path(f"{name}.dbc").write_text(dbc, encoding="utf-8")
    lines = []
    for k in range(1000):
        for n, (can_id, data) in enumerate(frames(k)):
            t_us = 10_000 * k + 300 * n
            digits = 8 if can_id > 0x7FF else 3
            stamp = f"{START_S + t_us // 1_000_000}.{t_us % 1_000_000:06d}"
            lines.append(f"({stamp}) can0 {can_id:0{digits}X}#{data.hex().upper()}\n")
    Path(f"{name}.log").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
