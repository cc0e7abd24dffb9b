"""Damage and false readings: scenarios 14 to 18, 22, 26 and 27."""

import numpy as np

from stagelog.car.scenarios.parts import JUMPS, no, parked, ramp, start
from stagelog.car.story import Expect, Incident, Leg, Scenario
from stagelog.car.terrain import Feature


def _signal(
    at_s: float,
    duration_s: float | None,
    fault: str,
    *signals: str,
    at_m: float | None = None,
    **more: float,
) -> Incident:
    extra = {"fault": fault, "signals": signals, **more}
    return Incident("signal", at_s, duration_s, extra, at_m)


def _reported(name: str, within_s: float) -> Expect:
    return Expect(f"sensor_fault:{name}", "signal", {"signals": name}, within_s)


def rock_strike(scale: float, rng: np.random.Generator) -> Scenario:
    """What stopped Price in SS1 of 2026."""
    rock = Feature("bump", 2600.0, 1.3, 0.30, side="right", speed_kmh=55.0)
    return Scenario(
        name="rock_strike",
        number=14,
        summary="rock strike: a corner's damper signal lost, two hours' stop, tow, on again",
        legs=(
            start(),
            Leg("drive", "rock", 2750.0, natural=False, features=(rock,), note="canyon"),
            parked(7200.0 * scale, "waiting for the truck"),
            Leg("tow", "rock", 2000.0, engine=False, natural=False, note="tow"),
            parked(120.0, "repair"),
            Leg("drive", "rock", 4000.0, note="on again"),
        ),
        incidents=(_signal(0.0, None, "sna", "DmpPosFR", at_m=2601.0),),
        must=(_reported("DmpPosFR", 10.0),),
        must_not=no("sensor_fault:DmpPosFL", "fuel_leak", "refuel", "stuck"),
    )


def puncture(scale: float, rng: np.random.Generator) -> Scenario:
    """One that nobody feels and one that everybody does."""
    return Scenario(
        name="puncture",
        number=15,
        summary="a slow puncture rear left, later a fast one front right",
        legs=(
            start(),
            Leg("drive", "mixed", 16e3 * scale, note="stage"),
            parked(200.0, "wheel change"),
        ),
        incidents=(
            Incident("puncture", 90.0, None, {"wheel": 2, "kPa_per_min": 9.0}),
            Incident("puncture", 420.0 * scale, None, {"wheel": 1, "kPa_per_min": 160.0}),
        ),
        must=(
            Expect("alarm:tyre_pressure.TyrPresRL", "puncture", {"wheel": 2}, 480.0),
            Expect("alarm:tyre_pressure.TyrPresFR", "puncture", {"wheel": 1}, 90.0),
        ),
        must_not=no("alarm:tyre_pressure.TyrPresFL", "alarm:tyre_pressure.TyrPresRR"),
    )


def diff_oil_loss(scale: float, rng: np.random.Generator) -> Scenario:
    """The rate must speak before the level does."""
    extra = {"axle": "rear", "loss_pct": 85.0}
    return Scenario(
        name="diff_oil_loss",
        number=16,
        summary="the rear differential loses its oil: the rate alarms before the level",
        legs=(start(), Leg("drive", "sand", 25e3 * scale, natural=False, note="sand")),
        incidents=(Incident("diff_oil_loss", 300.0, 240.0, extra),),
        must=(
            Expect("alarm:diff_oil_rate.DiffOilTempR", on="diff_oil_loss", within_s=500.0),
            Expect("alarm:diff_oil.DiffOilTempR", on="diff_oil_loss", within_s=900.0),
        ),
        must_not=no("alarm:diff_oil.DiffOilTempF", "sensor_fault:*"),
        duration_s=1100.0,
        ambient_degC=34.0,
    )


def fan_and_radiator(scale: float, rng: np.random.Generator) -> Scenario:
    """One fan dead, one core full of mud."""
    return Scenario(
        name="fan_and_radiator",
        number=17,
        summary="one fan dead and one radiator blocked in dunes",
        legs=(start(), Leg("drive", "dunes", 12e3 * scale, natural=False, note="dunes")),
        incidents=(
            Incident("fan_dead", 120.0, None, {"fan": 3}),
            Incident("radiator_blocked", 200.0, None, {"radiator": 1, "share": 0.9}),
        ),
        must=(
            Expect("alarm:fan.Fan3Curr", on="fan_dead", within_s=600.0),
            Expect("alarm:radiator_blocked.Rad1Out", on="radiator_blocked", within_s=600.0),
        ),
        must_not=no(
            *(f"alarm:fan.Fan{n}Curr" for n in (1, 2, 4)),
            *(f"alarm:radiator_blocked.Rad{n}Out" for n in (2, 3)),
        ),
        duration_s=900.0,
        ambient_degC=41.0,
    )


def wading(scale: float, rng: np.random.Generator) -> Scenario:
    """Waist-deep: everything cools at once, the wheel sensors drown."""
    return Scenario(
        name="wading",
        number=18,
        summary="wading: step cool-down of the oils, noisy wheel speeds",
        legs=(
            start(),
            Leg("drive", "wadi", 5000.0 * scale, natural=False, note="to the river"),
            Leg("drive", "wadi", 150.0, natural=False, limit_kmh=9.0, note="river"),
            Leg("drive", "wadi", 3000.0 * scale, natural=False, note="after"),
        ),
        incidents=(
            Incident("limit", 240.0, 60.0, {"kmh": 8.0}),
            Incident("wading", 250.0, 45.0, {}),
        ),
        must_not=(*no("alarm:*", "airborne", "stuck"),),
    )


def sensor_faults(scale: float, rng: np.random.Generator) -> Scenario:
    """Every way a sensor lies, none of which may become an alarm."""
    return Scenario(
        name="sensor_faults",
        number=22,
        summary="open (-51.9 degC), stuck, not available, short, dropouts",
        legs=(start(), Leg("drive", "mixed", 16e3 * scale, note="stage")),
        incidents=(
            _signal(60.0, 90.0, "open", "DiffOilTempR"),
            _signal(120.0, 120.0, "stuck", "DmpPosRL"),
            _signal(180.0, 60.0, "sna", "CoolantTemp"),
            _signal(240.0, 60.0, "short", "TrnOilTempSump"),
            _signal(300.0, 90.0, "dropout", "WhlSpdFR", share=0.5),
            _signal(360.0, 60.0, "short", "DiffOilTempF"),
            _signal(430.0, 60.0, "sna", "AccX", "AccY", "AccZ"),
            _signal(500.0, 90.0, "stuck", "FuelLvlA"),
        ),
        must=tuple(
            _reported(name, within)
            for name, within in (
                ("DiffOilTempR", 10.0),
                ("DmpPosRL", 10.0),
                ("CoolantTemp", 10.0),
                ("TrnOilTempSump", 10.0),
                ("WhlSpdFR", 20.0),
                ("DiffOilTempF", 10.0),
                ("AccZ", 10.0),
                ("FuelLvlA", 60.0),
            )
        ),
        must_not=no("alarm:diff_oil", "alarm:gearbox_oil", "alarm:coolant", "refuel", "fuel_leak"),
        duration_s=660.0,
    )


def alarm_chatter(scale: float, rng: np.random.Generator) -> Scenario:
    """A temperature that trembles on its limit for ten minutes."""
    return Scenario(
        name="alarm_chatter",
        number=26,
        summary="rear differential oil at 120 degC, plus and minus one: one alarm, not fifty",
        legs=(start(), Leg("drive", "mixed", 16e3 * scale, natural=False, note="stage")),
        incidents=(
            _signal(60.0, 500.0, "value", "DiffOilTempR", value=120.0),
            _signal(60.0, 500.0, "noise", "DiffOilTempR", sigma=1.0),
        ),
        must_not=(Expect("alarm:diff_oil.DiffOilTempR", at_most=1),),
        duration_s=600.0,
    )


def oil_pressure_dip(scale: float, rng: np.random.Generator) -> Scenario:
    """Surge in flight and on slopes is no loss of oil; the last one is."""
    features = tuple(ramp(700.0 + 500.0 * n, 0.95, 88.0) for n in range(6))
    dips = tuple(Incident("oil_dip", 160.0 + 12.0 * n, 0.22, {"kPa": 150.0}) for n in range(5))
    return Scenario(
        name="oil_pressure_dip",
        number=27,
        summary="short dips of oil pressure in flight and on slopes, then a true loss",
        legs=(
            start(),
            Leg("drive", "track", 4200.0, natural=False, features=features, note="jumps"),
            Leg("drive", "dunes", 6000.0 * scale, natural=False, note="slopes"),
        ),
        incidents=(*dips, Incident("oil_dip", 300.0, 20.0, {"kPa": 320.0, "true_loss": True})),
        must=(
            JUMPS,
            Expect("alarm:oil_pressure", on="oil_dip", where={"true_loss": (1, 1)}, within_s=10.0),
        ),
        must_not=(Expect("alarm:oil_pressure", at_most=1),),
        duration_s=340.0,
    )


SCENARIOS = (
    rock_strike,
    puncture,
    diff_oil_loss,
    fan_and_radiator,
    wading,
    sensor_faults,
    alarm_chatter,
    oil_pressure_dip,
)
