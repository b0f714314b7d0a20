"""Is the library right, fast, and as it was?"""
