"""Places that serve a component's source, and what was fetched from them.

``git`` takes a repository pinned by its commit id, ``debian`` a source package verified through apt's signed
indexes. Both keep what they fetched in the cache and check it again when it is used.
"""
