"""Does somebody's job run on this node?"""
