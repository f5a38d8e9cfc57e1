"""Is this frame speech?"""
