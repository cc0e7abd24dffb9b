"""What the witness makes of a whole scenario: every frame offered is stored, or counted, to the
frame.

Judges the journal of a Bench whose controllers pass on every frame at once, so that only the ring
and the card can lose any. Findings are (invariant, text).
"""

from campaigns.engine.reader import frames_of, parse_block, parse_records

_LAST = 4  # such a block also counts what was dropped behind its own records


def written_blocks(bench):
    """Return {(life, session): [(Block, bytes)]} of the blocks that landed whole, by number."""
    sessions = {}
    for write in bench.card.journal:
        if len(write.landed) < 8:
            continue
        position = bench.layout.position(write.sector)[0]
        block = parse_block(write.data, position)
        if block is not None:
            blocks = sessions.setdefault((write.life, block.session), {})
            blocks[block.seq] = (block, write.data)
    return {key: [found[seq] for seq in sorted(found)] for key, found in sessions.items()}


def check_frames(bench):
    """Yield findings on the frames of all lives: what is stored is what was offered, in order."""
    for (life, session), blocks in written_blocks(bench).items():
        offered = bench.lives[life].offered
        yield from _check_session(offered, f"life {life}, session {session[2]:08x}", blocks)


def _check_session(offered, name, blocks):
    at = start = None
    newest_us = -1
    for block, data in blocks:
        times = [record[0] for record in parse_records(data, block)]
        if times != sorted(times) or (times and times[0] < newest_us):
            yield "L15", f"{name}: time goes back in block {block.seq}"
        newest_us = times[-1] if times else newest_us
        frames = frames_of(data, block)
        if not frames:
            continue
        if start is None:
            at = _find(offered, frames[0], 0)
            start = at - (sum(block.stored) + sum(block.dropped) - len(frames))
        for frame in frames:
            found = _find(offered, frame, at)
            if found is None:
                yield "L3", f"{name}: block {block.seq} holds a frame that was not sent: {frame}"
                return
            at = found + 1
        n_counted = sum(block.stored) + sum(block.dropped)
        n_behind = sum(block.dropped) if block.flags & _LAST else 0
        if not n_counted - n_behind <= at - start <= n_counted:
            n = at - start
            yield "L5", f"{name}: {n_counted} counted up to block {block.seq}, {n} were offered"
            return


def _find(offered, frame, start):
    for i in range(start, len(offered)):
        if offered[i] == frame:
            return i
        if offered[i][0] > frame[0]:
            return None
    return None
