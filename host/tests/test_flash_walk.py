"""The walk through syntax trees that the packer of firmware uses, against Python's own."""

import ast
from pathlib import Path

import pytest

from stagelog.flash.walk import walk

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
MEANT = (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
# What firmware may not have, too: a source that is refused has been walked before.
OTHERS = """
import a.b as c, d
from e import *
@f(g=1, **h)
async def i(j, /, k: l = 1, *m, n=2, **o) -> p:
    global q
    async with r as s, t: yield (u := await v)
    async for w in x: nonlocal_ = {**y, z: [*aa]}
    return lambda bb=cc, *dd: ee if not ff else -gg
class hh(ii, jj=kk):
    ll: mm = nn
    try: raise oo from pp
    except (qq, rr) as ss: del tt[uu:vv:ww], xx.yy
    else: assert zz, f"{ab!r:>{ac}}"
    finally: ad += ae @ af
    while ag < ah <= ai and aj: break
    match ak:
        case [al, *am] | {"an": ao, **ap} if aq: pass
        case ar(1, at=au) as av: continue_ = {aw for ax in ay if az}, (ba for bb in bc), {bd: be}
"""


@pytest.mark.parametrize("root", [FIRMWARE, None], ids=["firmware", "others"])
def test_it_finds_the_same_nodes_in_the_same_order(root):
    """`ast.walk` gives contexts and operators, too."""
    paths = sorted(root.rglob("*.py")) if root else []
    texts = [path.read_text(encoding="utf-8") for path in paths] or [OTHERS]
    for text in texts:
        tree = ast.parse(text)
        assert walk(tree) == [node for node in ast.walk(tree) if not isinstance(node, MEANT)]
