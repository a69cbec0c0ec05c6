"""The guided search: models of latency and error, refit on every trial, and exact proposals from them."""

from mpsearch.search.guided.context import Context, Prior, Rivals, seeds
from mpsearch.search.guided.sampler import GuidedSampler

__all__ = ["Context", "GuidedSampler", "Prior", "Rivals", "seeds"]
