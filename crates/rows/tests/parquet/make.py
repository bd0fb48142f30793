"""Writes the Parquet files that `tests/files.rs` and `tests/src/rows.rs` read: `python make.py`, with pyarrow 26."""
import datetime
import decimal
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent
turn = pa.struct([("role", pa.string()), ("content", pa.string()), ("weight", pa.int8())])
schema = pa.schema([
    ("id", pa.int64()),
    ("instruction", pa.string()),
    ("messages", pa.list_(turn)),
    ("history", pa.list_(pa.list_(pa.string()))),
    ("score", pa.float64()),
    ("ok", pa.bool_()),
    ("tags", pa.map_(pa.string(), pa.int32())),
    ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ("day", pa.date32()),
    ("price", pa.decimal128(9, 2)),
    ("small", pa.uint8()),
])
rows = [
    {
        "id": 1, "instruction": "天空\n\"quoted\"", "messages": [
            {"role": "user", "content": "q", "weight": None}, {"role": "assistant", "content": "a", "weight": 0}],
        "history": [["q1", "a1"], [], ["q2", None]], "score": 0.5, "ok": True, "tags": [("x", 1), ("y", None)],
        "image": {"bytes": b"\xff\xfe\x00", "path": "p"}, "day": datetime.date(2024, 2, 29),
        "price": decimal.Decimal("-12.50"), "small": 255,
    },
    {"id": 2, "instruction": None, "messages": [], "history": [], "tags": [], "image": None},
    {"id": None, "instruction": "", "messages": None, "history": None, "score": float("nan"), "tags": None},
    {"id": 4, "messages": [{"role": None, "content": "only", "weight": 1}], "history": [[]], "ok": False, "small": 0},
]
# Enough rows for several batches, pages and row groups.
rows += [{"id": n, "instruction": f"row {n}" * (n % 7), "history": [[str(n)] * (n % 3)] * (n % 4)} for n in range(5, 120)]
table = pa.Table.from_pylist(rows, schema=schema)
for name, options in {
    "snappy": dict(compression="snappy"),
    "zstd-v2": dict(compression="zstd", data_page_version="2.0", use_dictionary=False),
    "gzip": dict(compression="gzip"),
    "lz4": dict(compression="lz4", column_encoding={"id": "DELTA_BINARY_PACKED"}, use_dictionary=["instruction"]),
    "none-1.0": dict(compression="none", version="1.0", use_compliant_nested_type=False),
}.items():
    pq.write_table(table, here / f"{name}.parquet", row_group_size=50, data_page_size=512, **options)
with (here / "rows.jsonl").open("w") as out:
    import json
    for row in table.to_pylist():
        if row["image"]:
            row["image"]["bytes"] = {"bytes": 3}
        if row["score"] is not None and row["score"] != row["score"]:
            row["score"] = None
        if row["tags"] is not None:
            row["tags"] = dict(row["tags"])
        for key in ("day", "price"):
            row[key] = None if row[key] is None else str(row[key])
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
pairs = [("天空是什么颜色？", "蓝色的。"), ('say "b",\nplease', "b"), ("c", "d")]
pairs = pa.Table.from_pylist([{"instruction": q, "input": None, "output": a} for q, a in pairs])
pq.write_table(pairs, here / "pairs.parquet", compression="zstd")
