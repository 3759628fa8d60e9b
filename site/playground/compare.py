# Compare: full fine-tuning, LoRA and QLoRA of one model.
import gauge

rows = []
for method in ("full", "lora", "qlora"):
    answer = gauge.estimate(
        model="meta-llama/Llama-3.1-8B",
        task="training",
        method=method,
        sequence_length=2048,
        gradient_checkpointing="full",
    ).answer()
    pool = answer["pools"][0]
    parts = {}
    for item in pool["items"]:
        if pool["peak"] in item["moments"]:
            part = item["component"].split(".")[0]
            parts[part] = parts.get(part, 0) + item["bytes"]
    rows.append({"method": method, "peak GiB": f"{pool['allocated'] / 2**30:.1f}"})
    rows[-1] |= {part: f"{size / 2**30:.1f}" for part, size in sorted(parts.items())}
rows
