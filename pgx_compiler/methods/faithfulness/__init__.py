"""Is what an explanation says true of the model?"""
