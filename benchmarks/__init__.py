"""Benchmarks: what a request and a record cost here, beside a floor and the usual server, in one run.

They measure the real node as it is deployed, in a process of its own, and never change what it does.
"""
