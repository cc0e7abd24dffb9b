"""What the page offers its reader: notes, search, help by keyboard, the line to choose a part of
the stage in. Hidden until the scripts in page/ run. Owns fixed markup only.
"""

TOP_BUTTONS = (
    '<div class="top-buttons"><button id="find-open" title="Search (/)" hidden>Search</button>'
    '<button id="help-open" title="Keys (?)" hidden>Keys</button>'
    '<button id="theme" title="Sun or dark (d)" hidden>Dark</button></div>'
)
WRITE = '<button class="write" title="Write a note on this part (n)" hidden>Note</button>'
OVERVIEW = (
    '<div id="overview"><canvas id="whole-stage" aria-hidden="true"></canvas>'
    '<div id="window">'
    '<i id="edge-from" class="edge" tabindex="0" role="slider" aria-label="First shown" '
    'aria-valuemin="0" aria-valuemax="100"></i>'
    '<i id="edge-to" class="edge" tabindex="0" role="slider" aria-label="Last shown" '
    'aria-valuemin="0" aria-valuemax="100"></i></div></div>'
)
NOTES = (
    '<section id="notes" class="empty" hidden><h2>Notes</h2><ol></ol>'
    '<p class="note">Press n, or Note on a part or at the charts. Notes stay in this browser; '
    "save them to hand them on.</p>"
    '<p class="tools"><button id="note-save">Save notes</button> '
    '<label class="button">Load notes<input id="note-load" type="file" accept=".json"></label></p>'
    "</section>"
)
_KEYS = (
    ("/", "search parts, signals, charts, events"),
    ("?", "this list"),
    ("d", "sun or dark"),
    ("n", "write a note: on the part that is chosen, else at the moment in the charts"),
    ("Tab, Enter", "go on, and choose"),
    ("← →", "along the marks of the stage; in the charts earlier and later"),
    ("+ − 0", "in the charts: closer, wider, the whole"),
    ("x", "in the charts: over time or over distance"),
    ("Escape", "back to where you came from"),
)
DIALOGS = (
    '<dialog id="find" aria-label="Search"><p><input id="find-text" type="search" '
    'placeholder="Part, signal, event" aria-label="Search"></p><ul id="find-list"></ul>'
    '<p id="find-none" hidden>Nothing of that name is on this page.</p></dialog>'
    '<dialog id="help" aria-label="Keys"><h2>Keys</h2><table>'
    + "".join(f"<tr><th>{key}</th><td>{what}</td></tr>" for key, what in _KEYS)
    + '</table><p><button class="close">Close</button></p></dialog>'
)
