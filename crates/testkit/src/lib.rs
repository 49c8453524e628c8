//! A server in a test: the real binary, memory boxes, mounted images, a fault proxy, real clients.
