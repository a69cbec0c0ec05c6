"""A lab without hardware: programs as strict as the vendor's, reached through a real sshd and a real adb client.

``Lab`` (:mod:`mpsearch.testing.lab.bench`) makes the folder, the programs and the doors to them.
"""
