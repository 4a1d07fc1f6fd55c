#!/usr/bin/env bash
# JAX 0.10.2, several processes (jax.distributed): what they disagree about is mostly not noticed.
#
# 1. A process that expects three processes joins one that expects two: initialize returns in both,
#    and both see two. The number given to another process than the first counts for nothing. With
#    one process too few the training simply begins without it.
# 2. A NumPy value given to a compiled function may differ between the processes. Where its result is
#    replicated over all devices, is_fully_replicated is True on each of them, and each has another
#    number in it: a learning rate of 0.1 here and 0.2 there. Later sums over the batch mix both, and
#    all processes agree on the mixture, so that a loss that is compared looks right.
# 3. The same value given to jax.device_put with the same sharding is compared, and refused with an
#    AssertionError. So weights that are assigned are safe, and arguments of a step are not.
#
# Source: jax.distributed.initialize, jax.jit with out_shardings, jax.device_put; JAX 0.10.2 from
# PyPI, two processes on the loopback address, CPU devices. Processes of one training therefore have
# to compare their number, options, data and weights themselves: utils/hosts does.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.10.2"
cat > "$folder/process.py" <<'PYTHON'
import os
import sys
import time

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

port, number, expected = map(int, sys.argv[1:])
jax.distributed.initialize(f"127.0.0.1:{port}", expected, number, initialization_timeout=60)
print(f"process {number}: expected {expected} processes, sees {jax.process_count()}", flush=True)

mesh = Mesh(np.array(jax.devices()), ("batch",))
replicated = NamedSharding(mesh, PartitionSpec())
split = NamedSharding(mesh, PartitionSpec("batch"))
rate = np.float32([0.125, 0.25][number])

weight = jax.jit(lambda rate: 1 - rate, out_shardings=replicated)(rate)
shown = f"replicated {weight.is_fully_replicated}, value {float(weight)}"
ones = jax.make_array_from_process_local_data(split, np.ones(1, np.float32), (2,))
total = jax.jit(lambda w, x: (w * x).sum(), out_shardings=replicated)(weight, ones)
print(f"process {number}: {shown}, sum over the batch {float(total)}", flush=True)
try:
    jax.device_put(rate, replicated)
    print(f"process {number}: device_put accepts", flush=True)
except AssertionError:
    print(f"process {number}: device_put refuses", flush=True)
time.sleep(2)  # neither leaves while the other still computes
os._exit(0)
PYTHON
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
export JAX_PLATFORMS=cpu
"$folder/venv/bin/python" "$folder/process.py" "$port" 1 3 > "$folder/second" 2> /dev/null &
"$folder/venv/bin/python" "$folder/process.py" "$port" 0 2 > "$folder/first" 2> /dev/null
wait
cat "$folder/first" "$folder/second"
diff <(grep -h ^process "$folder/first" "$folder/second") - <<'SEEN'
process 0: expected 2 processes, sees 2
process 0: replicated True, value 0.875, sum over the batch 1.625
process 0: device_put refuses
process 1: expected 3 processes, sees 2
process 1: replicated True, value 0.75, sum over the batch 1.625
process 1: device_put refuses
SEEN
echo "as described"
