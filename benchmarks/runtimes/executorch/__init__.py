"""ExecuTorch with XNNPACK, the runtime of PyTorch networks on phones and boards."""
