# Sweep one field: how memory grows with context, and where a card ends.
import gauge

MODEL, CARD = "meta-llama/Llama-3.1-8B", "rtx-4090"

rows = []
for tokens in (1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072):
    answer = gauge.estimate(model=MODEL, device=CARD, sequence_length=tokens, batch_size=1).answer()
    rows.append(
        {
            "context": f"{tokens:,}",
            "GiB": f"{answer['pools'][0]['device'] / 2**30:.2f}",
            "verdict": answer["fit"]["verdict"],
        }
    )
rows
