"""``mpsearch bench``: everything there is to say of a model on a target, in one table over models and runs."""
