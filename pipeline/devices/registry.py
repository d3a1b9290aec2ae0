"""All devices, in order. A new kind of device needs a file or folder beside `local`, and a line here."""

from __future__ import annotations

from tvmopt.pipeline.devices.device import Device
from tvmopt.pipeline.devices.local import LocalDevice

DEVICES: tuple[Device, ...] = (LocalDevice(),)

LOCAL = DEVICES[0]
"""This machine: where things run unless another device is given."""
