"""Reports from measurement files, offline: a page that stands alone, and Markdown.

In reading order: `words` (numbers and verdicts as text), `view` (what is shown, for all forms alike), `machines` (which
files may be compared), `drawing` and `plots` (SVG), `page` (HTML, with ``templates/report.html.j2``) and `markdown`.
"""
