"""Reports from measurement files, offline: a page that stands alone, and Markdown.

In reading order: `words` (numbers and verdicts as text), `tables` (tables as text), `view` (what is shown, for all
forms alike), `layer_view` and `layer_losses` (the same, layer by layer), `machines` (which files may be compared),
`drawing` (what plots have in common), `plots`, `layer_plots` and `roofline_plot` (SVG), `page` (HTML, with
``templates/report.html.j2`` and ``templates/layers.html.j2``) and `markdown`.
"""
