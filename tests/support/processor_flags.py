"""Flags of processors, as /proc/cpuinfo has them: those that decide on the instruction set."""

ZEN3 = frozenset(["fma", "avx", "sse4_1", "avx2", "vaes"])
SKYLAKE = ZEN3 | frozenset(["avx512f", "avx512bw", "avx512dq", "avx512vl"])
ICE_LAKE = SKYLAKE | {"avx512_vnni"}
