"""Hooks of the documentation site: pages that live beside the code, and pictures made of it.

A document stays where its readers look for it first (SPEC.md beside the firmware); the site shows
the same file as a page. Links between such documents are turned into links between pages; a link
to a source file becomes plain code, because the site holds documents only.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]

# Page of the site -> file in the repository.
PAGES = {
    "howto/build_a_logger.md": "firmware/WIRING.md",
    "howto/examples.md": "host/examples/README.md",
    "reference/formats.md": "firmware/SPEC.md",
    "reference/dbc.md": "dbc/README.md",
    "explanation/design.md": "firmware/DESIGN.md",
    "explanation/promises.md": "hil_tests/RELIABILITY.md",
    "explanation/results.md": "hil_tests/RESULTS.md",
    "explanation/event_scores.md": "host/benchmarks/EVENTS.md",
    "contributing.md": "CONTRIBUTING.md",
}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
OUTSIDE = re.compile(r"^[a-z]+:|^#")


def on_files(files, config):
    """Add the pages that live beside the code, and the picture of the architecture."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=with_site_links(text, page, source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turn links of the site's own pages to documents of the repository into links to pages."""
    if page.file.src_uri in PAGES:
        return markdown
    return with_site_links(markdown, page.file.src_uri, f"docs/{page.file.src_uri}")


def with_site_links(text, page, source):
    """Return `text` of the file `source` with the links that the page `page` needs."""
    page_of = {file: name for name, file in PAGES.items()}

    def link(match):
        words, target = match[1], match[2]
        if OUTSIDE.match(target):
            return match[0]
        path, _, anchor = target.partition("#")
        at = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if at in page_of:
            to = posixpath.relpath(page_of[at], posixpath.dirname(page) or ".")
        elif at.startswith("docs/"):
            to = posixpath.relpath(at.removeprefix("docs/"), posixpath.dirname(page) or ".")
        elif (ROOT / at).exists():
            return words if words.startswith("`") else f"{words} (`{at}`)"
        else:
            return match[0]  # a dead link: the build reports it
        return f"[{words}]({to}{'#' + anchor if anchor else ''})"

    return LINK.sub(link, text)
