#!/usr/bin/env bash
# JAX 0.10.2, several processes (jax.distributed), of which one has one device and one has two, as
# where two machines have other numbers of GPUs.
#
# 1. They join, see three devices, and compute: an array is made of each process' share, and a
#    compiled sum over it is right in both.
# 2. All that is there to agree between processes refuses, with a message about a reshape that names
#    no device: process_allgather of a host's value, broadcast_one_to_all, assert_equal and
#    sync_global_devices of jax.experimental.multihost_utils. So does jax.device_put of a host's
#    value onto all devices, which compares it between the processes: the first weight of a network.
#
# Source: jax.experimental.multihost_utils, jax.device_put; JAX 0.10.2 from PyPI, two processes on
# the loopback address, CPU devices. --hosts therefore refuses unequal numbers before that, in words.
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
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

port, number = map(int, sys.argv[1:])
jax.distributed.initialize(f"127.0.0.1:{port}", 2, number, initialization_timeout=60)
mesh = Mesh(np.array(jax.devices()), ("batch",))
replicated = NamedSharding(mesh, PartitionSpec())
split = NamedSharding(mesh, PartitionSpec("batch"))
own = jax.local_device_count()
numbers = np.full(own, 1 + number, np.float32)
array = jax.make_array_from_process_local_data(split, numbers, (3,))
total = jax.jit(lambda numbers: numbers.sum(), out_shardings=replicated)(array)
print(f"process {number}: {own} of {jax.device_count()} devices, sum {float(total)}", flush=True)
one = np.float32(1)
for name, call in {
    "process_allgather": lambda: multihost_utils.process_allgather(one),
    "broadcast_one_to_all": lambda: multihost_utils.broadcast_one_to_all(one),
    "assert_equal": lambda: multihost_utils.assert_equal(one),
    "sync_global_devices": lambda: multihost_utils.sync_global_devices("here"),
    "device_put": lambda: jax.device_put(one, replicated),
}.items():
    try:
        call()
        print(f"process {number}: {name} works", flush=True)
    except ValueError as error:
        print(f"process {number}: {name}: {error}", flush=True)
time.sleep(2)  # neither leaves while the other still computes
os._exit(0)
PYTHON
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
export JAX_PLATFORMS=cpu
XLA_FLAGS=--xla_force_host_platform_device_count=2 \
    "$folder/venv/bin/python" "$folder/process.py" "$port" 1 > "$folder/second" 2> /dev/null &
"$folder/venv/bin/python" "$folder/process.py" "$port" 0 > "$folder/first" 2> /dev/null
wait
cat "$folder/first" "$folder/second"
diff <(grep -h ^process "$folder/first" "$folder/second") - <<'SEEN'
process 0: 1 of 3 devices, sum 5.0
process 0: process_allgather: cannot reshape array of size 3 into shape (2,1)
process 0: broadcast_one_to_all: cannot reshape array of size 3 into shape (2,1)
process 0: assert_equal: cannot reshape array of size 3 into shape (2,1)
process 0: sync_global_devices: cannot reshape array of size 3 into shape (2,1)
process 0: device_put: cannot reshape array of size 3 into shape (2,1)
process 1: 2 of 3 devices, sum 5.0
process 1: process_allgather: cannot reshape array of size 3 into shape (2,2)
process 1: broadcast_one_to_all: cannot reshape array of size 3 into shape (2,2)
process 1: assert_equal: cannot reshape array of size 3 into shape (2,2)
process 1: sync_global_devices: cannot reshape array of size 3 into shape (2,2)
process 1: device_put: cannot reshape array of size 3 into shape (2,2)
SEEN
echo "as described"
