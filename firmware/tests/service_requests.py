"""Requests to the logger in its simulated world, and the fields of its answers."""

from rig_play import SECOND_US

from slog import messages as m

REPLIES = {row[0]: row[3] for row in m.MESSAGES}


def stop(rig):
    rig.app.control(m.CONTROL_STOP)
    rig.run_for(2 * SECOND_US)
    assert rig.app.state == m.STATE_IDLE


def block_on_card(rig, position):
    extent = rig.app.store.extent
    with open(rig.card_path, "rb") as file:
        file.seek(512 * extent.sector_of(position))
        return file.read(4096)


def answers(rig, kind, n, wait_s=0.5):
    """Return up to `n` answers (fields, rest) of one kind that come within some seconds."""
    found = []
    deadline = rig.link.clock() + wait_s
    while len(found) < n and (got := rig.link.receive(deadline)) is not None:
        if got[0] == kind | m.REPLY:
            found.append(m.parse(REPLIES[kind], got[2]))
    return found


def read(rig, position, n_blocks=1, at=0, n=4096):
    values = {"position": position, "at": at, "n": n, "n_blocks": n_blocks}
    rig.link.send(m.READ, m.build(m.READ_REQUEST, values))
