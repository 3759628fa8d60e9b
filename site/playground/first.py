# Ask for one estimate; every word is a field of the calculator.
import gauge

answer = gauge.estimate(
    model="meta-llama/Llama-3.1-8B",
    sequence_length="32k",
    batch_size=4,
    device="h100-80gb",
).answer()

pool = answer["pools"][0]
print(f"{pool['device'] / 2**30:.1f} GiB on the device, {answer['fit']['verdict']}")

# The last line is shown: a list of dicts becomes a table.
[
    {"what": item["label"], "GiB": f"{item['bytes'] / 2**30:.2f}", "certainty": item["certainty"]}
    for item in pool["items"]
]
