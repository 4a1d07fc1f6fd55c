#!/usr/bin/env bash
# What pyarrow (26.0.1) makes of nanoseconds depends on whether pandas is installed, which the code
# that reads them never imports. Of the same parquet file, to_pylist() gives
#
#                              without pandas                  with pandas 3.1.1
#   timestamp, whole us        datetime.datetime               pandas.Timestamp
#   timestamp, not whole us    ValueError                      pandas.Timestamp
#   time64, not whole us       ValueError                      datetime.time, cut without a word
#
# The error is raised for the whole table: one time of day in one row, in a column that nobody
# wants, and no picture of a data set is read. The maximum in a row group's statistics raises it as
# well. Nor does the advice in its text hold for time64: pandas has no such type, and only the check
# goes.
#
# Source: Parquet format, logical types TIMESTAMP and TIME with unit NANOS; pyarrow 26.0.1 and
# pandas 3.1.1 from PyPI.
# A reader of data sets names the columns that it needs, or takes .value instead of .as_py().
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "pyarrow==26.0.1"
cat > "$folder/see.py" <<'PYTHON'
import sys

import pyarrow
import pyarrow.parquet

EXPECTED = {
    "without pandas": [
        "datetime", "ValueError", "time", "ValueError", "ValueError", "[1001]", "[b'picture']"
    ],
    "with pandas": [
        "Timestamp", "Timestamp", "time", "time", "Timestamp", "[1001]", "[b'picture']"
    ],
}  # fmt: skip
path, situation = sys.argv[1:]


def seen(read) -> str:
    try:
        return type(read()).__name__
    except ValueError as error:
        return type(error).__name__


def written(kind: pyarrow.DataType, nanoseconds: int) -> pyarrow.parquet.ParquetFile:
    columns = {"image": [b"picture"], "taken": pyarrow.array([nanoseconds], kind)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return pyarrow.parquet.ParquetFile(path)


found = []
for kind in (pyarrow.timestamp("ns"), pyarrow.time64("ns")):
    for nanoseconds in (1000, 1001):
        file = written(kind, nanoseconds)
        found.append(seen(lambda: file.read().to_pylist()[0]["taken"]))
        print(f"{situation}: {kind}, {nanoseconds} ns: {found[-1]}")
        if found[-1] == "time":
            assert file.read().to_pylist()[0]["taken"].microsecond == 1
file = written(pyarrow.timestamp("ns"), 1001)
statistics = file.metadata.row_group(0).column(1).statistics
found.append(seen(lambda: statistics.max))
print(f"{situation}: the maximum in the statistics: {found[-1]}")
found.append(str([scalar.value for scalar in file.read()["taken"]]))
found.append(str(file.read(columns=["image"])["image"].to_pylist()))
print(f"{situation}: .value {found[-2]}, the other column alone {found[-1]}")
assert found == EXPECTED[situation], "pyarrow behaves otherwise now"
assert "pandas" in sys.modules or situation == "without pandas"
PYTHON
"$folder/venv/bin/python" "$folder/see.py" "$folder/pictures.parquet" "without pandas"
"$folder/venv/bin/pip" install -q "pandas==3.1.1"
"$folder/venv/bin/python" "$folder/see.py" "$folder/pictures.parquet" "with pandas"
