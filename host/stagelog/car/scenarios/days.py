"""Whole days: the demo's stage, and scenarios 1 to 5, 20 and 21 of the domain notes."""

import numpy as np

from stagelog.car.scenarios.parts import JUMPS, QUIET, no, parked, press, ramp, start, tanking
from stagelog.car.story import Expect, Incident, Leg, Scenario


def stage(scale: float, rng: np.random.Generator) -> Scenario:
    """Ten minutes with everything that the demo shows."""
    first = (ramp(750.0, 0.95, 88.0), ramp(1350.0, 0.55, 80.0), ramp(3400.0, 1.15, 96.0))
    later = (ramp(1800.0, 0.8, 85.0), ramp(4100.0, 1.3, 100.0))
    return Scenario(
        name="stage",
        number=0,
        summary="ten minutes of a stage: jumps, a hot rear differential, a dead fan",
        legs=(
            start(4.0),
            Leg("drive", "track", 5000.0 * scale, pace=0.95, features=first, note="fast track"),
            Leg("drive", "dunes", 2500.0 * scale, note="dunes"),
            Leg("drive", "mixed", 12000.0 * scale, features=later, note="plateau"),
        ),
        incidents=(
            Incident("fan_dead", 150.0, None, {"fan": 2}),
            Incident("radiator_blocked", 140.0, 300.0, {"radiator": 1, "share": 0.9}),
            Incident("radiator_blocked", 140.0, 300.0, {"radiator": 2, "share": 0.8}),
            Incident("overheat", 40.0, 400.0, {"node": "diff_rear", "W": 5200.0}),
            Incident("button", 300.0, 0.4, press("AlarmAck")),
            Incident("button", 400.0, 0.4, press("EventMark")),
        ),
        must=(
            JUMPS,
            Expect("alarm:fan", on="fan_dead", within_s=240.0),
            Expect("alarm:diff_oil.DiffOilTempR", on="overheat", within_s=400.0),
        ),
        must_not=no("alarm:diff_oil.DiffOilTempF", "sensor_fault:*", "refuel", "fuel_leak"),
        duration_s=600.0,
        ambient_degC=31.0,
    )


def clean_stage(scale: float, rng: np.random.Generator) -> Scenario:
    """A day without trouble."""
    legs = (
        start(),
        Leg("drive", "track", 95e3 * scale, note="gravel"),
        Leg("drive", "mixed", 90e3 * scale, note="plateau"),
        Leg("drive", "sand", 45e3 * scale, pace=0.92, note="sand"),
        Leg("drive", "track", 75e3 * scale, note="gravel"),
        parked(60.0, "finish"),
    )
    return Scenario(
        name="clean_stage",
        number=1,
        summary="305 km without trouble, the tank low at the end",
        legs=legs,
        must=(JUMPS,),
        must_not=QUIET,
        fuel_l=250.0,
        ambient_degC=24.0,
    )


def loop_483(scale: float, rng: np.random.Generator) -> Scenario:
    """The longest special of 2026."""
    legs = (
        start(),
        Leg("drive", "track", 120e3 * scale, note="gravel"),
        Leg("drive", "rock", 55e3 * scale, note="canyon"),
        Leg("drive", "mixed", 110e3 * scale, note="plateau"),
        Leg("stop", duration_s=900.0 * scale, engine=False, stage="Neutral", note="neutral"),
        Leg("drive", "dunes", 40e3 * scale, note="dunes"),
        Leg("drive", "wadi", 48e3 * scale, note="wadi"),
        Leg("drive", "mixed", 110e3 * scale, note="plateau"),
    )
    return Scenario(
        name="loop_483",
        number=2,
        summary="483 km loop, six hours, mixed terrain",
        legs=legs,
        must=(JUMPS,),
        must_not=no("sensor_fault:*", "refuel", "fuel_leak", "stuck"),
    )


def long_day(scale: float, rng: np.random.Generator) -> Scenario:
    """Liaison, stage, liaison; the ignition goes off and on between."""
    legs = (
        Leg("drive", "road", 322e3 * scale, stage="Liaison", limit_kmh=100.0, note="liaison"),
        parked(1200.0 * scale, "waiting for the start", power=False, stage="Service"),
        parked(60.0, "ignition on", stage="Service"),
        tanking(220.0, 420.0, "Service"),
        Leg("drive", "sand", 331e3 * scale, pace=0.9, note="all sand"),
        parked(600.0 * scale, "time control", power=False, stage="Neutral"),
        tanking(260.0, 360.0, "Neutral"),
        Leg("drive", "road", 267e3 * scale, stage="Liaison", limit_kmh=100.0, note="liaison"),
    )
    return Scenario(
        name="long_day",
        number=3,
        summary="920 km day: liaison, stage, liaison, with key cycles and refuelling",
        legs=legs,
        must=(JUMPS, Expect("refuel", on="refuel", within_s=600.0)),
        must_not=no("sensor_fault:*", "fuel_leak", "log:gap"),
        fuel_l=400.0,
        ambient_degC=26.0,
    )


def marathon_48h(scale: float, rng: np.random.Generator) -> Scenario:
    """Two days without the team, a night without power."""
    legs = (
        Leg("drive", "road", 60e3 * scale, stage="Liaison", limit_kmh=90.0, note="liaison"),
        start(),
        Leg("drive", "mixed", 300e3 * scale, note="first day"),
        parked(54e3 * scale, "bivouac, ignition off", power=False, stage="Neutral"),
        tanking(200.0, 300.0, "Neutral"),
        Leg("drive", "dunes", 70e3 * scale, note="second day"),
        Leg("drive", "track", 150e3 * scale, note="second day"),
        parked(90e3 * scale, "second night, ignition off", power=False, stage="Service"),
    )
    return Scenario(
        name="marathon_48h",
        number=4,
        summary="48 h without download, the night without power",
        legs=legs,
        must=(JUMPS, Expect("refuel", on="refuel", within_s=600.0)),
        must_not=no("sensor_fault:*", "fuel_leak"),
        ambient_degC=22.0,
    )


def all_sand(scale: float, rng: np.random.Generator) -> Scenario:
    """331 km of sand in the heat."""
    legs = (
        start(),
        Leg("drive", "sand", 220e3 * scale, note="sand"),
        Leg("drive", "dunes", 111e3 * scale, note="dunes"),
    )
    return Scenario(
        name="all_sand",
        number=5,
        summary="331 km of sand at 38 degC: twice the usual consumption, fans at full duty",
        legs=legs,
        must=(JUMPS,),
        must_not=no("sensor_fault:*", "fuel_leak", "stuck"),
        ambient_degC=38.0,
    )


def refuel(scale: float, rng: np.random.Generator) -> Scenario:
    """180 litres in the neutralisation."""
    legs = (
        start(),
        Leg("drive", "mixed", 40e3 * scale, note="before"),
        tanking(180.0, max(1200.0 * scale, 240.0), "Neutral"),
        Leg("drive", "mixed", 30e3 * scale, note="after"),
    )
    return Scenario(
        name="refuel",
        number=20,
        summary="refuel of 180 l in a neutralisation of twenty minutes",
        legs=legs,
        must=(Expect("refuel", on="refuel", within_s=400.0, note="amount within 5 l"),),
        must_not=(*no("fuel_leak", "sensor_fault:*"), Expect("refuel", at_most=1)),
        fuel_l=220.0,
    )


def fuel_leak(scale: float, rng: np.random.Generator) -> Scenario:
    """A cracked line behind the injectors' backs."""
    legs = (
        start(),
        Leg("drive", "mixed", 15e3 * scale, note="before"),
        parked(1500.0, "waiting", stage="Neutral"),
        Leg("drive", "mixed", 20e3 * scale, note="after"),
        parked(1200.0, "finish"),
    )
    return Scenario(
        name="fuel_leak",
        number=21,
        summary="60 l/h leave the tank past the injectors",
        legs=legs,
        incidents=(Incident("fuel_leak", 600.0 * scale, None, {"l_per_h": 60.0}),),
        must=(Expect("fuel_leak", on="fuel_leak", within_s=3000.0),),
        must_not=no("refuel"),
    )


SCENARIOS = (stage, clean_stage, loop_483, long_day, marathon_48h, all_sand, refuel, fuel_leak)
