"""OAuth: the node's authorization server, the check of tokens at its resources, and the client side for peers.

Profile: FAPI 2.0 and RFC 9700 with private_key_jwt (RFC 7523) and DPoP (RFC 9449). No token, proof, assertion or key
may be written to a log or an error from here.
"""
