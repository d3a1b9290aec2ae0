"""Transformers that read and write text."""

from __future__ import annotations

from typing import Any

from torch import nn

from seeded import Built, FirstOutput, seeded, tokens


def _encoder(count: int, **sizes: Any) -> Built:
    """BERT (arXiv:1810.04805) of other sizes on `count` tokens."""
    from transformers import BertConfig, BertModel

    config = BertConfig(**sizes)
    return seeded(lambda: FirstOutput(BertModel(config, add_pooling_layer=False)), tokens(count, config.vocab_size))


def bert_mini() -> Built:
    """BERT-mini on 128 tokens."""
    return _encoder(128, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024)


def minilm_l6() -> Built:
    """The shape of MiniLM with six layers on 128 tokens."""
    return _encoder(128, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)


def distilbert() -> Built:
    """DistilBERT (arXiv:1910.01108) on 128 tokens."""
    from transformers import DistilBertConfig, DistilBertModel

    config = DistilBertConfig()
    return seeded(lambda: FirstOutput(DistilBertModel(config)), tokens(128, config.vocab_size))


def gpt2_prefill() -> Built:
    """GPT-2 reading 32 tokens, to the scores of the next."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(use_cache=False)

    def make() -> nn.Module:
        return FirstOutput(GPT2LMHeadModel(config))

    return seeded(make, tokens(32, config.vocab_size))
