"""The signal table in words: unit and meaning of every column and row of slog.signal_table.

Owns the tables that SPEC.md shows and that the contract's hash covers; a logger need not load
them. "raw" is the unit of the signal on the bus; a fixed-point number is given by its step:
1/16384 is a factor times 2^14.
"""

from slog import signal_table as st

VERSION = st.VERSION

# {tag: (name, meaning, ((column, unit, meaning), ...))}
SECTIONS = {
    st.SLOTS: (
        "slots",
        "one row per message; of a multiplexed one per value of its selector, these last",
        (
            ("can_id", "", "identifier, 11 bits"),
            ("n_bytes", "bytes", "least length"),
            ("stale_ticks", "10 ms", "older than this is stale"),
            ("select_byte", "", "byte with the selector"),
            ("select_shift", "bits", "its lowest bit"),
            ("select_mask", "", "over the bits that are left; 0: not multiplexed"),
            ("select_value", "", "value of the selector"),
        ),
    ),
    st.SIGNALS: (
        "signals",
        "one row per signal; bytes from the most significant on",
        (
            ("slot", "", "row of slots"),
            ("kind", "", "0 any, 1 u8, 2 u16, 3 i16, little endian"),
            ("first", "", "most significant byte"),
            ("step", "bytes", "to the next one: 1 Motorola, -1 Intel"),
            ("n", "bytes", "how many"),
            ("shift", "bits", "to the right"),
            ("bits", "bits", "length"),
            ("signed", "", "1 if it has a sign"),
            ("low", "raw", "below is implausible"),
            ("high", "raw", "above is implausible"),
            ("max_step", "raw", "more in 0.1 s is implausible; 0 for no limit"),
            ("stuck", "0.1 s", "as many without a change are a fault; 0: it may stand still"),
            ("status", "", "row of signals that says whether this one works; -1 for none"),
            ("status_good", "raw", "what it says then"),
            ("centi_mul", "1/16384", "factor to 0.01 of the unit"),
            ("centi_add", "0.01", "offset in the unit"),
            ("still_low", "raw", "at or below it may stand still"),
            ("still_high", "raw", "at or above it may stand still"),
        ),
    ),
    st.ROLES: (
        "roles",
        "what plays a part: (raw * mul >> 14) + add in the unit of the role",
        (
            ("role", "", "number of the role"),
            ("signal", "", "row of signals"),
            ("mul", "1/16384", "factor"),
            ("add", "", "offset"),
        ),
    ),
    st.GATES: (
        "gates",
        "conditions for alarms",
        (
            ("source", "", "0 signal, 1 speed, 2 airborne, 3 engine speed"),
            ("signal", "", "row of signals; -1 if the source is another"),
            ("limit", "raw", "speed: 0.01 km/h; airborne: 0 or 1000; engine: 1/min"),
            ("falls", "", "1: open below the limit, 0: above"),
            ("steps", "0.1 s", "for longer than this"),
        ),
    ),
    st.ALARMS: (
        "alarms",
        "one row per alarm and signal; what falls is compared as its negative",
        (
            ("number", "", "of the profile"),
            (
                "kind",
                "",
                (
                    "0 above, 1 below, 2 rate, 3 time_to_limit, 4 below_table, 5 above_table, "
                    "6 fan, 7 drop, 8 difference, 9 cooler"
                ),
            ),
            ("signal", "", "row of signals"),
            ("x", "", "row of the second signal; -1 for none"),
            (
                "warning",
                "",
                "raw; time_to_limit -0.1 min, drop 0.1 %, cooler -1 %; 2^30 - 1: none",
            ),
            ("critical", "", "as warning"),
            ("clear", "", "so far back past the limit it must go, in its unit"),
            ("in_warning", "0.1 s", "in a row"),
            ("in_critical", "0.1 s", "in a row"),
            ("out", "0.1 s", "in a row"),
            ("gates", "", "bits of the gates that must be open"),
            ("latch", "", "1: stays until it is acknowledged"),
            ("window", "0.1 s", "of rate, time_to_limit and drop"),
            (
                "floor",
                "raw",
                "rate, cooler: only above; time_to_limit: only if it rises more in window",
            ),
            ("limit", "raw", "of time_to_limit; fan: only while x is above"),
            ("drop", "", "time_to_limit: window, 0.1 s; drop: raw in window, 0 for none"),
            ("points", "", "first row of points"),
            ("n_points", "", "how many"),
            ("group", "", "alarms of one entry of the profile"),
        ),
    ),
    st.POINTS: (
        "points",
        "tables of alarms",
        (
            ("x", "raw", "of the second signal, rising"),
            ("warning", "raw", "limit there"),
            ("critical", "raw", "limit there"),
        ),
    ),
    st.FLIGHT: ("flight", "rows of the flight detector", (("value", "", "a row each"),)),
    st.FUEL: (
        "fuel",
        (
            "rows of the fuel estimate, then three for each point of the tank: volume, cl; "
            "heights of the two senders, 0.01 mm"
        ),
        (("value", "", "a row each"),),
    ),
    st.HEAT: (
        "heat",
        "rows of the differentials' model, then 61: v^0.8 by whole m/s, 0.001",
        (("value", "", "a row each"),),
    ),
    st.WATCH: ("watch", "rows of all others", (("value", "", "a row each"),)),
}

# (first role, name, how many, unit)
ROLES = (
    (st.ACC_X, "acceleration", 3, "mg"),
    (st.RATE_X, "rates", 3, "1/1024 rad/s"),
    (st.DAMPER, "damper", 4, "0.01 mm"),
    (st.WHEEL, "wheel_speed", 4, "0.01 km/h"),
    (st.FLIGHT_STATE, "flight_state", 1, ""),
    (st.RPM, "engine_speed", 1, "1/min"),
    (st.PEDAL, "pedal", 1, "0.1 %"),
    (st.GEAR, "gear", 1, ""),
    (st.FUEL_USED, "fuel_used", 1, "ml"),
    (st.LEVEL, "fuel_level", 2, "0.01 mm"),
    (st.DIFF, "diff_temperature", 2, "0.01 degC"),
    (st.SLIP, "axle_slip", 2, "0.01 km/h"),
    (st.OUT_TORQUE, "output_torque", 1, "Nm"),
    (st.AMBIENT, "ambient_temperature", 1, "0.01 degC"),
    (st.HANDBRAKE, "handbrake_pressure", 1, "kPa"),
    (st.ACKNOWLEDGE, "acknowledge", 1, ""),
)

# Units and meanings of rows, in order. "damper": the unit of the damper signals on the bus; two
# ticks are 20 ms.
FLIGHT = (
    ("arm_x", "mg/(rad/s)^2", "from the centre of gravity to the IMU"),
    ("arm_y", "mg/(rad/s)^2", "the same"),
    ("arm_z", "mg/(rad/s)^2", "the same"),
    ("spin_x", "1/256", "mg per 1/1024 rad/s of change in two ticks"),
    ("spin_y", "1/256", "the same"),
    ("spin_z", "1/256", "the same"),
    ("filter", "1/256", "weight of a new acceleration"),
    ("acc_enter2", "mg^2", "mean horizontal force of a flight is below"),
    ("acc_exit2", "mg^2", "horizontal force of each of its ticks"),
    ("landing", "mg", "the tyres carry more: landed"),
    ("unsprung", "1/4096", "mg of the tyres' force per damper unit, twice differed over 20 ms"),
    ("jump", "damper", "farther off in a tick than it was going is no position"),
    ("gap", "10 ms", "carrying for so long does not end a suspicion"),
    ("droop", "damper", "within this of full droop"),
    ("droop_all", "damper", "within this all wheels hang at some moment; forces missing"),
    ("load", "0.001", "by spring and damper; below: free, where forces are missing"),
    ("load_out", "mg", "the tyres carry nothing below, at each tick"),
    ("mean", "mg", "and below this in the mean when it is confirmed; 3 mg more each tick"),
    ("mean_end", "mg", "up to this"),
    ("mean_sure", "mg", "and this instead, once the error of the sensors is known"),
    ("mean_spin", "mg/(rad/s)^2", "more for rotation: error of the centre of gravity"),
    ("flare", "0.01 km/h", "rise of the wheel speed in 100 ms"),
    ("flare_pedal", "0.1 %", "pedal above"),
    ("confirm", "10 ms", "until it is confirmed"),
    ("only_confirm", "10 ms", "the same where dampers or forces are missing"),
    ("compress", "damper", "compression in two ticks: landed, where forces are missing"),
    ("hold", "10 ms", "the peak is searched for so long"),
    ("merge", "10 ms", "a shorter contact is none"),
    ("shortest", "10 ms", "a shorter flight is none"),
    ("shortest_slow", "10 ms", "the same below slow"),
    ("slow", "0.01 km/h", "for shortest_slow"),
    ("longest", "10 ms", "a longer flight is too_long"),
    ("inhibit", "0.01 km/h", "no flight below"),
    ("severity1", "mg", "a peak above is medium"),
    ("severity2", "mg", "above is hard"),
    ("severity3", "mg", "above is severe"),
    ("back", "us", "onsets are dated back by it"),
    ("only_back", "us", "the same where forces are missing"),
    ("airborne_code", "raw", "of flight_state; -1 for none"),
    ("spring0", "1/16384", "0.001 of the weight per damper unit, FL"),
    ("spring1", "1/16384", "FR"),
    ("spring2", "1/16384", "RL"),
    ("spring3", "1/16384", "RR"),
    ("preload0", "1/16384", "0.001 of the weight at full droop, FL"),
    ("preload1", "1/16384", "FR"),
    ("preload2", "1/16384", "RL"),
    ("preload3", "1/16384", "RR"),
    ("rebound0", "1/16384", "0.001 of the weight per damper unit extended in two ticks, FL"),
    ("rebound1", "1/16384", "FR"),
    ("rebound2", "1/16384", "RL"),
    ("rebound3", "1/16384", "RR"),
    ("drift", "damper", "of the learned full droop"),
)
FUEL = (
    ("unusable", "cl", "rest of the tank"),
    ("start", "cl", "volume if nothing else is known"),
    ("scale_sigma", "0.000001", "standard deviation of the flow's scale"),
    ("quiet_mg", "mg", "a level counts as quiet below"),
    ("slope_mg", "mg", "the same fore and aft"),
    ("quiet_speed", "0.01 km/h", "below"),
    ("quiet_s", "s", "for so long"),
    ("sigma_quiet", "cl", "standard deviation of a quiet level"),
    ("sigma_moving", "cl", "of another"),
    ("gate", "", "a level farther off, in standard deviations, is left out"),
    ("refuel_rise", "cl", "a larger rise at rest is a refuel"),
    ("refuel_speed", "0.01 km/h", "at rest: below"),
    ("leak", "cl", "a larger loss is a leak"),
    ("leak_s", "s", "within so long"),
    ("reserve", "cl", "not counted in the range"),
    ("ewma_m", "m", "distance after which stretches are much less alike"),
    ("plan", "0.1 l/100 km", "consumption until it is known"),
    ("dead_low", "0.01 mm", "below, a sender's float rests"),
    ("dead_high", "0.01 mm", "above, it rests"),
    ("first_n", "0.1 s", "at rest for the first level"),
    ("first_m", "m", "driven with none: the mean level has to do"),
    ("range_km", "km", "between two RANGE events"),
)
_AXLE = (
    ("capacity", "J/K", "heat capacity"),
    ("still", "mW/K", "loss at rest"),
    ("moving", "mW/K", "loss by v^0.8 in m/s"),
    ("preload", "Nm", "of the limited slip"),
    ("lock", "0.001", "locking torque by axle torque"),
    ("share", "1/1024", "of the output torque that reaches the axle, with the final drive"),
    ("warning", "0.01 degC", "the alarm's"),
)
HEAT = (
    ("mesh", "0.001", "of an axle's power"),
    ("churn", "2^-20 W", "by the square of the axle's speed in 0.1 rad/s"),
    ("radius_mm", "mm", "of the tyres"),
    ("residual", "0.01 degC", "more is reported"),
    ("hold_s", "s", "after so long"),
    ("settle_s", "s", "how slowly the model follows"),
) + tuple((name + n, unit, meaning) for n in "01" for name, unit, meaning in _AXLE)
WATCH = (
    ("stuck_speed", "0.01 km/h", "signals must change above it"),
    ("roll_mg", "mg", "vertical acceleration below: rolled over"),
    ("roll_n", "0.1 s", "for so long"),
    ("spin_speed", "0.01 km/h", "the wheels turn faster: stuck"),
    ("spin_n", "0.1 s", "for so long"),
    ("spin_move", "damper", "and the dampers move less in 0.1 s"),
    ("hand_kPa", "kPa", "handbrake pulled above"),
    ("hand_speed", "0.01 km/h", "faster is abuse at once"),
    ("hand_n", "0.1 s", "longer is abuse at any speed"),
    ("summary_s", "s", "between two summaries"),
    ("engine_rpm", "1/min", "above: the engine runs"),
    ("say_s", "s", "an alarm says at most one thing in this time"),
    ("before_s", "s", "age of the context before an alarm, at most"),
    ("after_s", "s", "age of the context after it"),
    ("fault", "1/20 s", "bad for so long is a fault"),
    ("grace_s", "s", "after power-on, until a message that never came is missed"),
    ("bridge_ds", "0.1 s", "a gap no longer than this does not end the time of a limit"),
)
ROWS = {st.FLIGHT: FLIGHT, st.FUEL: FUEL, st.HEAT: HEAT, st.WATCH: WATCH}
