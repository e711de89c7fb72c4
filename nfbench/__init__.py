"""The instrument: data, training loop, sample sets, measures and reports.

It contains no sampler: flows and samplers live in the packages `baselines` and `biflow`.
"""
