"""Rules of a profile that mark a log, each time worked out by hand; who finds them."""

import numpy as np
import pytest

from stagelog.events.rules import change_times, find_rule_marks, level_times, seen_times
from stagelog.profile import ProfileError, load_profile
from stagelog.profile.limits import Mark
from stagelog.resources import dbc_path

S = 1_000_000
#           0  1   2   3  4   5  6   7   8   9 s
VALUES = [0, 5, 12, 11, 9, 12, 3, 12, 12, 12]


def levels(values=VALUES, cut=False, **rule):
    t_us = np.arange(len(values)) * S
    return (
        level_times(Mark(signal="x", **rule), t_us, np.array(values, float), cut) // S
    ).tolist()


def test_a_level_marks_when_it_is_exceeded_and_again_after_it_was_back():
    """Above 10: from 2 s to 4 s, from 5 s to 6 s, from 7 s on. Back only at 8 or less: 9 at 4 s is
    not back, so the second is no mark of its own.
    """
    assert levels(above=10.0) == [2, 5, 7]
    assert levels(above=10.0, clear=2.0) == [2, 7]


def test_a_level_has_to_be_held():
    """With `clear` 2 it is held from 2 s to 6 s, 4 s long, and from 7 s to the end at 9 s, 2 s."""
    assert levels(above=10.0, clear=2.0, for_s=2.0) == [4, 9]
    assert levels(above=10.0, clear=2.0, for_s=3.0) == [5]
    assert levels(above=10.0, clear=2.0, for_s=4.5) == []


def test_below_is_above_with_the_signs_turned():
    """Below 4: at 0 s from the first sample on, and at 6 s; back at 4 + 2 or more."""
    assert levels(below=4.0) == [0, 6]
    assert levels(below=4.0, clear=2.0) == [0, 6]
    assert levels([3, 5, 3, 6, 3], below=4.0, clear=2.0) == [0, 4]


def test_what_was_exceeded_at_the_cut_is_no_new_mark():
    assert levels([12, 12, 3, 12], above=10.0) == [0, 3]
    assert levels([12, 12, 3, 12], above=10.0, cut=True) == [3]
    assert levels([9, 12, 3, 12], above=10.0, clear=2.0, cut=True) == [3]


def test_changes_and_messages():
    """Values change at 1 and 3 s. Frames at 0, 0.5, 1.0, 2.1 and 3.1 s: silent for more than a
    second before 0 and 2.1 s; 1.0 s before 3.1 is not more.
    """
    t_us = np.array([0, 1, 2, 3]) * S
    assert (change_times(t_us, np.array([1.0, 2, 2, 1])) // S).tolist() == [1, 3]
    frames = np.array([0, 500_000, 1_000_000, 2_100_000, 3_100_000])
    assert seen_times(frames).tolist() == [0, 2_100_000]
    assert seen_times(frames, cut=True).tolist() == [2_100_000]


def test_marks_of_all_rules_come_in_order_of_time():
    rules = {
        "hot": Mark(signal="x", above=10.0, clear=2.0),
        "jump": Mark(event="landed"),
        "button": Mark(message="Button"),
        "absent": Mark(signal="y", above=1.0),
    }
    t_us = np.arange(len(VALUES)) * S
    events = [{"t_us": 3 * S, "name": "flight", "state": "landed"}]
    found = find_rule_marks(
        rules,
        lambda name: (t_us, np.array(VALUES, float)) if name == "x" else None,
        lambda name: np.array([8 * S]),
        events,
    )
    marks = [(mark["t_us"] // S, mark["text"]) for mark in found]
    assert marks == [(2, "hot"), (3, "jump"), (7, "hot"), (8, "button")]
    assert {(mark["name"], mark["state"]) for mark in found} == {("mark", "rule")}


def profile_of(folder, text):
    path = folder / "car.toml"
    path.write_text(f'extends = "{load_profile().path}"\n{text}')
    return load_profile(path)


def test_a_profile_has_rules(tmp_path):
    text = '[mark.hot]\nsignal = "DiffOilTempR"\nabove = 130\nfor_s = 5\nafter_s = 60\n'
    rule = profile_of(tmp_path, text).mark["hot"]
    assert (rule.above, rule.for_s, rule.before_s, rule.after_s) == (130.0, 5.0, 30.0, 60.0)
    assert load_profile().mark == {}


def test_the_example_of_the_readme_is_a_profile(tmp_path):
    text = (dbc_path() / "README.md").read_text(encoding="utf-8")
    example = text.partition("## Marks")[2].partition("```toml\n")[2].partition("```")[0]
    found = profile_of(tmp_path, example).mark
    assert list(found) == ["hot_rear", "mode", "driver", "landing"]


@pytest.mark.parametrize(
    ("text", "defect"),
    [
        ("above = 1\n", "needs a signal"),
        ('signal = "EngSpd"\n', "needs one of above"),
        ('signal = "EngSpd"\nabove = 1\nbelow = 0\n', "needs one of above"),
        ('signal = "EngSpd"\nevent = "landed"\n', "takes no signal"),
        ('signal = "EngSpd"\nchanges = true\nfor_s = 2\n', "belong to above and below"),
        ('event = "landing"\n', "no event or alarm landing"),
        ('signal = "Nowhere"\nabove = 1\n', "signal Nowhere is not in"),
        ('message = "Nowhere"\n', "message Nowhere is not in"),
    ],
)
def test_a_rule_that_makes_no_sense_is_named_with_its_line(tmp_path, text, defect):
    with pytest.raises(ProfileError) as caught:
        profile_of(tmp_path, f"[mark.m]\n{text}")
    (_, line, words) = caught.value.defects[0]
    assert defect in words and line in (2, 3, 4)
