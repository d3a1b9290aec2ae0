"""The comparison of a model on all runtimes, and its report.

In reading order: `measurement` (the nouns, with `fields` to read them safely), `statistics` and `verdicts` (what
samples allow to say), `outputs` (how far results are apart), `environment` and `interference` (the machine, and who
else was using it), `document` (measurement files), `runners` (one file a runtime), `worker` and `supervisor` (a process
for each), `pictures`, `arrays` and `subject` (what is measured, laid out for the workers), `contender` and `cell` (one
batch size and thread count), `options` and `compare` (the whole run), `layers`, `layer_table` and `layer_rows` (what a
model costs and takes layer by layer), `profilers`, `cell_layers`, `profile` and `profile_artifact` (measuring that),
`report` (pages, plots and Markdown from files), `suite`, `layer_bench` and `tuners` (the numbers this project is held
to).
"""
