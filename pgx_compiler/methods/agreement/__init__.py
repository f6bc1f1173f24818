"""Do two explanations of the same rows say the same?"""
