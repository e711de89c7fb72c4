"""The instrument: data, training loop, sample sets, measures and reports.

It knows no contestant: flows and samplers live in the packages `baselines` and `biflow`.
"""
