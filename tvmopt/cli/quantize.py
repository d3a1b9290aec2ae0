"""``tvmopt quantize``: a model in integers of 8 bits, within an accuracy that the user sets."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import click

from tvmopt.cli.options import Names, OutputFile, input_shape_option, model_argument, target_option
from tvmopt.cli.progress_line import ProgressLine


class Drop(click.ParamType[float]):
    """``0.5%`` → 0.005."""

    name = "PERCENT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number before the sign."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"\s*([+-]?\d+(?:\.\d*)?|\.\d+)\s*%\s*", str(value))
        part = float(match[1]) / 100 if match else math.nan
        if not 0.0 <= part < 1.0:
            self.fail(f"expected percentage points from 0% to below 100%, such as 0.5%; got {value!r}")
        return part


@click.command()
@model_argument
@click.option("-o", "--output", type=OutputFile(".onnx"), required=True, help="The model to write.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=(
        "Samples: a labelled set, a folder of pictures, or an .npz with an array for each input.  [default: "
        "scikit-learn's two sample photographs, if the model takes pictures]"
    ),
)
@click.option(
    "--preprocess",
    metavar="HOW",
    help="How pictures become inputs: imagenet, caffe, 0..1, -1..1, 0..255, path.py:function.  [default: by model]",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    metavar="N",
    help="Samples to find ranges of values on.",
)
@click.option(
    "--max-drop",
    type=Drop(),
    help="Keep layers in float until accuracy is at most so much lower; of a metric of your own, 0.5% are 0.005 of its "
    "unit.",
)
@click.option("--metric", metavar="NAME", help="top1, top5, map, miou or path.py:function.  [default: by the labels]")
@click.option(
    "--validation-samples",
    type=click.IntRange(min=2),
    metavar="N",
    help="Labelled samples to measure accuracy on.  [default: all]",
)
@click.option(
    "--weights",
    "weight_bits",
    type=click.Choice(("7", "8")),
    callback=lambda _context, _parameter, value: value and int(value),
    help="Bits of weights that are used.  [default: 8; 7 for x86 without VNNI]",
)
@click.option("--in-float", type=Names(), default=(), help="Layers to keep in float.")
@target_option
@input_shape_option
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="First dimension of every input.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of which samples.",
)
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write everything that is reported.")
def command(model: str, output: Path, json_file: Path | None, **settings: Any) -> None:
    """Quantise MODEL to integers of 8 bits with NNCF, and write it as ONNX with QuantizeLinear and DequantizeLinear.

    Every other command takes the result. The table shows the error of each layer as signal-to-quantisation-noise ratio:
    alone, with inputs from the original, and in the quantised model, where errors of layers before add up; 6 dB are one
    bit. With labels, accuracy before and after follows, with 95 % intervals. With --max-drop, layers that cost accuracy
    go back to float until the rest is within the drop; if that fails, nothing is written.
    """
    from rich.console import Console

    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.verify import write_json
    from tvmopt.cli.views.quantize import parts
    from tvmopt.jobs.quantizing import QuantizeJob, quantize

    job = QuantizeJob(model, output, input_shapes=settings.pop("input_shape"), **settings)
    console = make_console()
    with ProgressLine(Console(stderr=True)) as line:
        result = quantize(job, line)
    for part in parts(result):
        console.print(part)
    console.print(f"wrote {output} ({output.stat().st_size / 2**20:.1f} MiB)")
    if json_file is not None:
        write_json(json_file, result.to_json())
        console.print(f"wrote {json_file}")
