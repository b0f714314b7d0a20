"""Do the maps of words fall on what the words are about?"""
