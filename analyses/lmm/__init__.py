"""Linear mixed models on arrays: numpy and scipy alone.

A design's rows become cross-products once (`design`, `crossproducts`); a layout says
in which order the groups are eliminated (`layout`); the objective gives the deviance
and its gradient (`objective`, `blocks`); `optimise` finds theta (`covariance`) and
`fit` returns a frozen fit. What is asked of a fit stands in modules of its own:
`satterthwaite`, `kenward_roger` (with `traces`), `effects`, `rows`, `profile`,
`bootstrap`, `influence`, `zero_variance`. Formulas and frames stay outside.
"""
